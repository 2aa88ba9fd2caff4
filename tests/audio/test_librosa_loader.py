"""librosa compiles under a lock: processes that fill its cache at once leave one that crashes later processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from xdancer.audio import librosa_loader


def test_compiling_holds_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def compile_nothing(librosa) -> None:
        with pytest.raises(Timeout):
            FileLock(librosa_loader._lock_path()).acquire(blocking=False)
        seen.append(librosa.__name__)

    monkeypatch.setattr(librosa_loader, "_compile", compile_nothing)
    librosa_loader.load_librosa.cache_clear()
    try:
        assert librosa_loader.load_librosa() is librosa_loader.load_librosa()
    finally:
        librosa_loader.load_librosa.cache_clear()
    assert seen == ["librosa"]
    with FileLock(librosa_loader._lock_path()).acquire(blocking=False):
        pass


@pytest.mark.slow
def test_processes_that_start_together_leave_a_sound_cache(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from xdancer.audio.encoder import encode_music\n"
        "print(encode_music(np.sin(np.arange(88200) / 9).astype('f'), 44100, 60, ['librosa'])['librosa'].shape)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    command = [sys.executable, "-c", code]
    together = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in together] == [0, 0]
    assert subprocess.run(command, env=environment, capture_output=True, check=True).stdout.split() == [b"(60,", b"35)"]
