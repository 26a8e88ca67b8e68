"""Files appear whole or not at all, and nothing of the user's is lost."""

import ctypes
import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from keras_dinolm import files

pytestmark = pytest.mark.once


def _child(code, *arguments):
    """A process that prints "ready" and waits for its end inside `code`."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def _kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


WRITES = """
import sys, time
from keras_dinolm import files
with files.write_file(sys.argv[1]) as file:
    file.write(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""
FILLS = """
import sys, time
from keras_dinolm import files
with files.replace_folder(sys.argv[1], lambda folder: None) as new:
    (new / "half").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


# === One file ===


def test_writers_of_one_file_do_not_meet(tmp_path):
    """Many at once, some killed: always a whole file, and no litter."""
    path = tmp_path / "plan.json"
    errors = []

    def write(worker):
        try:
            for index in range(50):
                files.write_text(path, f"{worker}:{index}" * 100)
                assert len(path.read_text()) >= 300
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        _kill(_child(WRITES, path))
        files.sweep(tmp_path)
    for thread in threads:
        thread.join()
    assert not errors
    files.sweep(tmp_path)
    assert _names(tmp_path) == ["plan.json"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for _ in range(2):
        files.write_text(tmp_path / "a", "1")
        with files.replace_folder(tmp_path / "b", _never) as new:
            (new / "c").write_text("1")
        assert _names(tmp_path) == ["a", "b"]


def test_a_killed_writer_leaves_the_old_file_and_its_litter_is_swept(tmp_path):
    path = tmp_path / "plan.json"
    files.write_text(path, "old")
    _kill(_child(WRITES, path))
    assert path.read_text() == "old"
    assert len(_names(tmp_path)) == 2
    files.write_text(path, "new")
    assert _names(tmp_path) == ["plan.json"]
    assert path.read_text() == "new"


def test_the_temporary_file_of_a_living_writer_is_left_alone(tmp_path):
    process = _child(WRITES, tmp_path / "plan.json")
    try:
        before = _names(tmp_path)
        assert files.sweep(tmp_path) == []
        assert _names(tmp_path) == before != []
    finally:
        _kill(process)
    assert len(files.sweep(tmp_path)) == 1


def test_sweeping_knows_our_names_alone(tmp_path):
    for name in (
        ".plan.json.tmp",
        "x~",
        ".a.0123456789abcdef",
        "a.json~dinolm",
    ):
        (tmp_path / name).write_text("mine")
    before = _names(tmp_path)
    assert files.sweep(tmp_path) == []
    assert _names(tmp_path) == before


def test_an_error_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a"
    files.write_text(path, "old")
    with pytest.raises(KeyboardInterrupt):
        with files.write_file(path, "w") as file:
            file.write("half")
            raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a"]


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "far" / "file")
    files.write_text(link, "1")  # a dangling link names the file to make
    files.write_text(link, "2")
    assert link.is_symlink()
    assert (tmp_path / "far" / "file").read_text() == "2"


def test_a_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    files.write_text(pipe, "through")
    reader.join(timeout=20)
    assert read == ["through"]
    assert pipe.is_fifo()


def test_mode_and_umask_are_those_of_open(tmp_path):
    path = tmp_path / "script"
    files.write_text(path, "")
    (tmp_path / "plain").open("w").close()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    path.chmod(0o750)
    files.write_text(path, "again")
    assert path.stat().st_mode & 0o777 == 0o750


def test_folders_and_read_only_files_are_refused(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="Choose another path"):
        files.write_text(tmp_path / "folder", "x")
    path = tmp_path / "kept"
    path.write_text("kept")
    path.chmod(0o444)
    # The superuser may write everything, and tests may run as one.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="read-only"):
        files.write_text(path, "x")
    assert path.read_text() == "kept"


def test_a_value_that_is_no_json_touches_nothing(tmp_path):
    files.write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "a.json", {"new": object()})
    assert files.read_json(tmp_path / "a.json", "file", "") == {"old": 1}


def test_half_a_surrogate_pair_names_the_file(tmp_path):
    with pytest.raises(ValueError, match="a.txt' is not written: character 1"):
        files.write_text(tmp_path / "a.txt", "x\ud800")
    assert _names(tmp_path) == []


def test_long_and_odd_names(tmp_path):
    for name in ("n" * 255, "é" * 100, "a b\n.c", ".hidden"):
        files.write_text(tmp_path / name, name)
        assert (tmp_path / name).read_text() == name
    assert len(_names(tmp_path)) == 4


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode("é.txt".encode("latin-1"))
    files.write_text(tmp_path / name, "one")
    with files.replace_folder(tmp_path / name[:-4], lambda _: None) as new:
        files.write_text(new / name, "two")
    assert (tmp_path / name).read_text() == "one"
    assert (tmp_path / name[:-4] / name).read_text() == "two"
    assert len(_names(tmp_path)) == 2


@pytest.mark.parametrize("inside", [".", "deeper"])
def test_the_working_directory_is_not_replaced(tmp_path, monkeypatch, inside):
    """Who works in it would be left in a folder that is gone."""
    (tmp_path / "here/deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / inside)
    for target in (tmp_path / "here", os.path.relpath(tmp_path / "here")):
        with pytest.raises(FileExistsError, match="the working directory"):
            with files.replace_folder(target, lambda _: None):
                pytest.fail("it was begun")
    assert os.getcwd() == str(tmp_path / "here" / inside).removesuffix("/.")


def test_a_place_where_something_is_mounted_is_not_replaced(
    tmp_path, monkeypatch
):
    (tmp_path / "volume").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: "volume" in str(path))
    with pytest.raises(FileExistsError, match="mounted.*a folder in it"):
        with files.replace_folder(tmp_path / "volume", lambda _: None):
            pytest.fail("it was begun")


# === Full disks ===


def test_the_free_space_is_looked_at_before_anything_is_written(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(OSError, match="MiB free") as error:
        with files.write_file(tmp_path / "a", size=free + (1 << 30)):
            pytest.fail("nothing may be written")
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="MiB free"):
        with files.replace_folder(tmp_path / "b", str, size=free + (1 << 30)):
            pytest.fail("nothing may be written")
    assert _names(tmp_path) == []


def test_a_disk_that_fills_up_half_way(tmp_path):
    """The limit on the size of files gives the same kind of error."""
    path = tmp_path / "a"
    files.write_text(path, "old")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(OSError, match="what was there before is untouched"):
            files.write_text(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a"]


# === Folders that are replaced ===


def _never(folder):
    return None


def test_a_killed_exporter_leaves_the_old_folder(tmp_path):
    target = tmp_path / "preset"
    with files.replace_folder(target, _never) as new:
        (new / "whole").write_text("1")
    _kill(_child(FILLS, target))
    assert _names(target) == ["whole"]
    assert len(_names(tmp_path)) == 2
    with files.replace_folder(target, _never) as new:
        (new / "newer").write_text("2")
    assert _names(tmp_path) == ["preset"]
    assert _names(target) == ["newer"]


def test_what_is_not_ours_is_left_alone(tmp_path):
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "thesis.tex").write_text("years")
    with pytest.raises(FileExistsError, match="holds thesis.tex.*another"):
        with files.replace_folder(target, lambda folder: "it holds thesis.tex"):
            pytest.fail("the folder may not be replaced")
    (tmp_path / "file").write_text("years")
    with pytest.raises(FileExistsError, match="it is a file"):
        with files.replace_folder(tmp_path / "file", _never):
            pytest.fail("the file may not be replaced")
    assert _names(target) == ["thesis.tex"]
    assert _names(tmp_path) == ["file", "thesis"]


def test_a_file_that_arrives_while_the_folder_is_written_is_left_alone(
    tmp_path,
):
    target = tmp_path / "preset"
    with pytest.raises(FileExistsError):
        with files.replace_folder(target, lambda folder: "not ours"):
            target.mkdir()
            (target / "late").write_text("mine")
    assert _names(target) == ["late"]
    assert _names(tmp_path) == ["preset"]


def test_folders_are_exchanged_without_the_system_call_too(
    tmp_path, monkeypatch
):
    """Other systems than Linux have no `renameat2`."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    for content in ("1", "2"):
        with files.replace_folder(tmp_path / "preset", _never) as new:
            (new / content).write_text(content)
        assert _names(tmp_path / "preset") == [content]
    assert _names(tmp_path) == ["preset"]


def test_a_link_to_a_folder_stays(tmp_path):
    (tmp_path / "disk2").mkdir()
    link = tmp_path / "preset"
    link.symlink_to(tmp_path / "disk2")
    with files.replace_folder(link, _never) as new:
        (new / "a").write_text("1")
    assert link.is_symlink()
    assert _names(tmp_path / "disk2") == ["a"]


REMOVES = """
import sys, time, shutil
from keras_dinolm import files
def slow(path):
    print("ready", flush=True)
    time.sleep(60)
shutil.rmtree = slow
files.remove_folder(sys.argv[1])
"""


def test_a_folder_is_removed_at_once_also_after_a_kill(tmp_path):
    path = tmp_path / "step-1"
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "a").write_text("1")
    _kill(_child(REMOVES, path))
    assert not path.exists()
    assert len(_names(tmp_path)) == 1
    files.remove_folder(path)
    assert _names(tmp_path) == []


# === Folders that we write in ===


def test_a_folder_with_the_users_files_of_our_names_is_refused(tmp_path):
    (tmp_path / "report.md").write_text("mine")
    with pytest.raises(FileExistsError, match="did not write: report.md"):
        files.claim_folder(tmp_path, "ablation", ["*.md", "results.jsonl"])
    assert _names(tmp_path) == ["report.md"]


def test_a_claimed_folder_is_ours_until_another_kind_comes(tmp_path):
    (tmp_path / "other.txt").write_text("mine")
    assert not files.claim_folder(tmp_path, "ablation", ["*.md"])
    (tmp_path / "report.md").write_text("ours")
    assert files.claim_folder(tmp_path, "ablation", ["*.md"])
    with pytest.raises(FileExistsError, match="'ablation', not a 'search'"):
        files.claim_folder(tmp_path, "search", ["*.md"])
    (tmp_path / ".keras_dinolm.json").write_text("[[[")
    with pytest.raises(ValueError, match="folder marker.*no valid JSON"):
        files.claim_folder(tmp_path, "ablation", ["*.md"])


# === Reading ===


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b""])
def test_damaged_json_names_file_and_fix_and_can_be_set_aside(
    tmp_path, content
):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="plan '.*plan.json'.*Write it again"):
        files.read_json(path, "plan", "Write it again.")
    for name in ("plan.json.damaged", "plan.json.damaged-2"):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="a new one will be made"):
            assert files.read_json_or_set_aside(path) is None
        assert (tmp_path / name).read_bytes() == content
    assert files.read_json_or_set_aside(path) is None


def test_a_torn_last_line_is_dropped_and_the_next_append_mends_it(tmp_path):
    path = tmp_path / "results.jsonl"
    files.append_json_line(path, {"a": "é\n"})
    whole = path.read_bytes()
    for cut in range(1, len(whole) - 1):
        path.write_bytes(whole + whole[:cut])
        with pytest.warns(UserWarning, match="torn"):
            assert files.read_json_lines(path) == [{"a": "é\n"}]
    with pytest.warns(UserWarning, match="torn"):
        files.append_json_line(path, {"b": 2})
    assert files.read_json_lines(path) == [{"a": "é\n"}, {"b": 2}]
    path.write_text('{"a": 1}\n{"b"\n{"c": 3}\n')
    with pytest.raises(ValueError, match="results.jsonl', line 2"):
        files.read_json_lines(path)


def test_appends_of_many_threads_all_arrive(tmp_path):
    path = tmp_path / "results.jsonl"

    def append(worker):
        for index in range(10):
            files.append_json_line(path, [worker, index])

    threads = [threading.Thread(target=append, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {tuple(record) for record in files.read_json_lines(path)}
    assert found == {(i, j) for i in range(4) for j in range(10)}


def test_a_lock_names_its_holder(tmp_path):
    with files.lock(tmp_path / ".lock", timeout=0, what="run folder"):
        with pytest.raises(files.InUseError, match="run folder.*this very"):
            with files.lock(tmp_path / ".lock", timeout=0, what="run folder"):
                pytest.fail("two hold it")
    with files.lock(tmp_path / ".lock", timeout=0):
        pass


# === Trust ===


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/../../secret", "", ".", "link", "a\0", 3],
)
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    (tmp_path / "preset").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "preset" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="outside of it"):
        files.inside(tmp_path / "preset", name)


def test_names_inside_pass(tmp_path):
    assert files.inside(tmp_path, "a/b.txt") == tmp_path / "a" / "b.txt"
    assert files.inside(tmp_path, "..a").name == "..a"
