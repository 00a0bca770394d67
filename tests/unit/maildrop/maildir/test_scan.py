"""Reading what is new gives what reading everything gives."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.maildrop.maildir.conftest import Box, contents, ids, transmitted

Step = tuple[str, int, str]
steps = st.lists(
    st.tuples(
        st.sampled_from(["deliver", "deliver late", "flag", "move", "size", "remove", "login"]),
        st.integers(min_value=0, max_value=9),
        st.sampled_from(["", "S", "F", "RS"]),
    ),
    min_size=1,
    max_size=25,
)


class History:
    """Other programs at work in a Maildir."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.delivered = 0
        self.messages: dict[bytes, bytes] = {}  # content by unique-id

    def do(self, step: Step) -> None:
        action, which, flags = step
        if action.startswith("deliver"):
            time = 1000 + self.delivered if action == "deliver" else 500 - self.delivered
            name = f"{time}.{self.delivered}.host"
            content = b"Subject: %d\n\n" % self.delivered + b"x\n" * which
            self.box.add(f"new/{name}", content)
            self.messages[name.encode()] = content
            self.delivered += 1
            return
        files = self.box.files()
        if not files:
            return
        path = self.box.path / files[which % len(files)]
        name = path.name.partition(":")[0]
        if action == "flag":
            path.rename(path.with_name(f"{name}:2,{flags}"))
        elif action == "move":
            path.rename(self.box.path / "cur" / f"{name}:2,{flags}")
        elif action == "size" and ",S=" not in name:
            path.rename(path.with_name(f"{name},S={path.stat().st_size}"))
        elif action == "remove":
            path.unlink()
            del self.messages[name.partition(",")[0].encode()]


def told(box: Box) -> list[object]:
    maildrop = box.open()
    numbers = range(1, maildrop.count + 1)
    sizes = [maildrop.size(number) for number in numbers]
    listings = (maildrop.scan_listings(), maildrop.unique_id_listings())
    return [maildrop.count, maildrop.octets, sizes, ids(maildrop), listings, contents(maildrop)]


@given(steps)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_was_known_and_what_is_new_make_the_whole(tmp_path: Path, actions: list[Step]) -> None:
    directory = tmp_path / str(len(list(tmp_path.iterdir())))
    directory.mkdir()
    box = Box(directory)
    history = History(box)
    for step in actions:
        history.do(step)
        if step[0] == "login":
            told(box)
    incremental = told(box)
    box.close()
    box.index.unlink()
    assert incremental == told(box)
    maildrop = box.open()
    assert dict(zip(ids(maildrop), contents(maildrop), strict=True)) == history.messages
    assert maildrop.octets == sum(map(transmitted, history.messages.values()))
    assert ids(maildrop) == sorted(history.messages, key=lambda name: int(name.split(b".")[0]))
    box.close()


@given(
    st.lists(
        st.text(
            st.characters(min_codepoint=1, max_codepoint=0x10FF, exclude_characters="/"),
            min_size=1,
            max_size=60,
        ).filter(lambda name: not name.startswith(".")),
        max_size=12,
        unique_by=lambda name: name.partition(":")[0],
    )
)
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_unique_ids_are_distinct_and_stay_whatever_the_names_are(
    tmp_path: Path, found: list[str]
) -> None:
    directory = tmp_path / str(len(list(tmp_path.iterdir())))
    directory.mkdir()
    box = Box(directory)
    for name in found:
        box.add(f"new/{name}", name.encode())
    maildrop = box.open()
    before = dict(zip(contents(maildrop), ids(maildrop), strict=True))
    assert len(set(before.values())) == len(found)
    box.add("new/9.1.host", b"\0")
    maildrop = box.open()
    after = dict(zip(contents(maildrop), ids(maildrop), strict=True))
    assert {content: after[content] for content in before} == before
    box.close()
