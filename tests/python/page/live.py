"""Looks at the page of a running proxy. Says on standard output what is to happen to the proxy
next, and goes on when a line comes back."""

import sys
from pathlib import Path

from browser import Browser


def let(what):
    print(what, flush=True)
    assert sys.stdin.readline() == "done\n"


def give_token(browser, path):
    browser.press("Give the token")
    browser.wait("document.activeElement.type === 'password'")
    browser.type(Path(path).read_text().strip())
    browser.key("Enter", 13, "\r")
    browser.wait("!document.querySelector('dialog[open]')")


def follow(browser, url, token):
    browser.show(1280, 800)
    browser.open(url)
    browser.reads("All is well.")
    browser.reads("1 client")
    browser.wait("document.querySelector('.toggle').innerText === 'app'")
    browser.js("document.querySelector('.toggle').click()")
    browser.wait("document.querySelector('.details')")
    assert "Look for a new version" not in browser.text()
    give_token(browser, token)
    browser.press("Look for a new version")
    browser.reads("app has no new version.")

    let("rotate under a transaction")
    browser.reads("All is well. app moves to a new version.")
    browser.reads("1 connection left, kept by api")
    browser.reads("in a transaction")
    browser.wait("document.querySelectorAll('.cells .old').length === 1")
    assert browser.violations() == []
    let("commit")
    browser.wait("document.querySelector('#verdict-words').innerText === 'All is well.'")
    browser.wait("!document.querySelector('.cells .old')")
    assert browser.js("document.querySelectorAll('.timeline li').length") == 2
    assert browser.problems == []

    let("stop")
    browser.reads("The proxy does not answer")
    let("start")
    browser.wait("document.querySelector('.link.live')")
    browser.reads("All is well.")
    # It has made another token.
    browser.reads("Give the token")
    assert "Look for a new version" not in browser.text()


with Browser() as opened:
    follow(opened, *sys.argv[1:])
