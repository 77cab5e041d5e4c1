"""RunDetails: in a notebook, the state of a run in a line."""

from __future__ import annotations


class RunDetails:
    def __init__(self, run_instance):
        self.run = run_instance

    def show(self, render_lib=None, widget_settings=None) -> None:
        print(f"{self.run!r}\n{self.run.get_portal_url()}")
