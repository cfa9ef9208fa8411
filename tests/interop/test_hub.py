"""Published models by name: from either cache without a request, else fetched and checked."""

import hashlib
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cases import GOLDEN

from biggan.atomic import sha256, verify
from biggan.errors import ConfigError, ModelError
from biggan.interop import hub
from biggan.interop.huggingface.config import BigGANConfig, published
from biggan.interop.pretrained import BigGAN

TINY = GOLDEN / "pretrained" / "tiny"
NAME = "biggan-deep-256"
PUBLISHED_CONFIG = "edd106f65ff28ee1638491a978cfa6bc50dfa0344aab70749a7b8eb08bbec677"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, in which any request would fail at once."""
    monkeypatch.setenv("BIGGAN_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("PYTORCH_PRETRAINED_BIGGAN_CACHE", str(tmp_path / "theirs"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "BUCKET", "http://127.0.0.1:9/")
    return tmp_path


def put(folder: Path) -> None:
    """A model as our cache has it."""
    folder.mkdir(parents=True)
    for name in ("config.json", "pytorch_model.bin"):
        shutil.copy(TINY / name, folder)


def put_as_package(cache: Path, tag: str | None) -> None:
    """A model as the package's cache has it."""
    cache.mkdir(exist_ok=True)
    for name in ("config.json", "pytorch_model.bin"):
        hashed = hashlib.sha256(f"{hub.BUCKET}{NAME}-{name}".encode()).hexdigest()
        place = cache / (hashed if tag is None else f"{hashed}.{hashlib.sha256(tag.encode()).hexdigest()}")
        shutil.copy(TINY / name, place)
        place.with_name(f"{place.name}.json").write_text("{}")


def test_a_cached_model_is_opened_without_a_request(home):
    put(home / "ours" / NAME)
    assert BigGAN.from_pretrained(NAME).config.z_dim == 16
    put(home / "elsewhere" / NAME)
    assert hub.find(NAME, home / "elsewhere").weights.parent == home / "elsewhere" / NAME


@pytest.mark.parametrize("tag", [None, '"a tag"'])
def test_the_package_s_own_cache_is_opened_without_a_request(home, tag):
    put_as_package(home / "theirs", tag)
    assert BigGAN.from_pretrained(NAME).config.z_dim == 16
    assert BigGAN.from_pretrained(NAME, cache_dir=home / "theirs").config.z_dim == 16


def test_addresses_in_the_package_s_cache_have_the_names_that_it_gives_them(monkeypatch):
    monkeypatch.undo()
    address = f"{hub.BUCKET}biggan-deep-512-pytorch_model.bin"
    assert hashlib.sha256(address.encode()).hexdigest().startswith("07b5c0d1791fa2028f8aa458a36360f3")


def test_of_several_whole_files_the_last_is_taken(home):
    put_as_package(home / "theirs", "old")
    old = hub.find(NAME).weights
    put_as_package(home / "theirs", "new")
    (home / "theirs" / f"{old.name.partition('.')[0]}.half").write_bytes(b"not noted as whole")
    new = hub.find(NAME).weights
    assert new != old
    assert sha256(new) == sha256(TINY / "pytorch_model.bin")


def test_what_is_fetched_is_checked_and_kept(home, monkeypatch):
    source, origin = home / "bucket", hub.Origin(sha256(TINY / "pytorch_model.bin"))
    source.mkdir()
    shutil.copy(TINY / "pytorch_model.bin", source / f"{NAME}-pytorch_model.bin")
    monkeypatch.setattr(hub, "BUCKET", f"{source.as_uri()}/")
    with pytest.raises(ModelError, match="not what was published"):
        hub.find(NAME)
    assert list((home / "ours").iterdir()) == []
    monkeypatch.setitem(hub.ORIGINS, NAME, origin)
    files = hub.find(NAME)
    verify(files.weights.parent)
    assert BigGANConfig.from_json_file(files.config).to_dict() == published(256).to_dict()
    shutil.rmtree(source)
    assert hub.find(NAME) == files


def test_the_config_that_is_written_is_the_published_one_to_the_byte():
    assert hashlib.sha256(published(256).to_json_string().encode()).hexdigest() == PUBLISHED_CONFIG


def test_from_the_hub_a_stated_revision_is_fetched(home, monkeypatch):
    asked: list[tuple[Any, ...]] = []

    def hf_hub_download(repository: str, name: str, *, revision: str, local_dir: Path) -> None:
        asked.append((repository, name, revision))
        (local_dir / ".cache").mkdir()
        shutil.copy(TINY / "pytorch_model.bin", local_dir / name)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    origin = hub.Origin(sha256(TINY / "pytorch_model.bin"), "someone/something", "a" * 40)
    monkeypatch.setitem(hub.ORIGINS, "biggan-deep-128", origin)
    folder = hub.find("biggan-deep-128").weights.parent
    assert asked == [("someone/something", "pytorch_model.bin", "a" * 40)]
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "manifest.json", "pytorch_model.bin"]


def no_client(*_: object, **__: object) -> None:
    raise RuntimeError("the client's own error\nwith more lines")


def test_what_cannot_be_fetched_is_said_in_one_sentence(home, monkeypatch):
    with pytest.raises(ModelError, match=r"in no cache and could not be fetched \(.*\); try again with a network\.$"):
        hub.find(NAME)
    with pytest.raises(ModelError, match=r"checksum is unknown; put its config\.json and .* into .*biggan-deep-512"):
        hub.find("biggan-deep-512")
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=no_client))
    with pytest.raises(ModelError, match=r"biggan-deep-128 is in no cache and .* \(the client's own error\); try"):
        hub.find("biggan-deep-128")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r'run pip install "torch-biggan\[hub\]"'):
        hub.find("biggan-deep-128")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids fetching it; unset it, or put its"):
        hub.find(NAME)
    assert not (home / "ours").exists() or list((home / "ours").iterdir()) == []
