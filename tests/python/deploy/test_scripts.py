"""The shell scripts that install, pack and deploy, by a linter."""

import subprocess

import pytest
from chart import ROOT

FOLDERS = ["scripts", "deploy/compose", "deploy/packages", "deploy/packages/deb", "deploy/packages/rpm"]
SCRIPTS = [
    file
    for folder in FOLDERS
    for file in sorted((ROOT / folder).iterdir())
    if file.is_file() and file.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_linter_has_nothing_to_say(script):
    shellcheck = ROOT / ".cache/deploy/bin/shellcheck"
    done = subprocess.run([shellcheck, "-S", "warning", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
