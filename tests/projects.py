"""What the tests of code have in common: modules that a user writes, edits and imports anew."""

import importlib
import shutil
import sys
from contextlib import contextmanager

from stackkit._store import imports as _imports
from stackkit._store import origin as _origin


class Project:
    """A folder on Python's path; what comes from it is forgotten with it."""

    def __init__(self, folder):
        self.folder = folder
        self.names = set()

    def write(self, **sources):
        """Files by their names, `pkg__sub` for `pkg/sub`."""
        for name, source in sources.items():
            self.names.add(name.partition("__")[0])
            path = self.folder / f"{name.replace('__', '/', 1)}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source, encoding="utf8")
        importlib.invalidate_caches()

    def load(self, name):
        """As a new process would."""
        self.forget()
        return importlib.import_module(name)

    def forget(self):
        for name in list(sys.modules):
            if name.partition(".")[0] in self.names:
                del sys.modules[name]
        for name in list(_imports._SEEN):
            if name.partition(".")[0] in self.names:
                del _imports._SEEN[name]
        importlib.invalidate_caches()

    def install(self, name, version, requires=(), source="class Thing: pass\n"):
        """A library of one module, or its name alone; installed again, of another version."""
        place = self.folder / "site-packages"
        self.uninstall(name)
        about = place / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        needs = "".join(f"Requires-Dist: {text}\n" for text in requires)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        module = name.replace("-", "_")
        if source is not None:
            self.names.add(module)
            (place / f"{module}.py").write_text(source)
        (about / "RECORD").write_text(f"{module}.py,,\n")
        self.refresh()

    def uninstall(self, name):
        for about in (self.folder / "site-packages").glob(f"{name.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(about)

    @staticmethod
    def refresh():
        importlib.invalidate_caches()
        _origin._installed.cache_clear()  # a process asks once


@contextmanager
def project_in(folder, monkeypatch):
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder / "site-packages"))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Project(folder)
    try:
        yield made
    finally:
        made.forget()
        made.refresh()
