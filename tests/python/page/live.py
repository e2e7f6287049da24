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


def go(browser, view):
    browser.js(f"location.hash = '{view}'")
    browser.wait(f"document.querySelector('[aria-current]').hash === '#{view}'")


def steer(browser):
    """What the page is there for, besides looking."""
    browser.press("Look for a new version")
    browser.reads("app has no new version.")
    browser.press("Pause …")
    browser.press("Pause")
    browser.reads("app is paused.")
    browser.press("Resume")
    browser.reads("app is resumed.")
    go(browser, "rules")
    browser.reads("network 127.0.0.0/8")
    browser.js("document.querySelector('[name=database]').value = 'app'")
    browser.js("document.querySelector('[name=from]').value = '127.0.0.1'")
    browser.press("Explain")
    browser.reads("Let in as api by rule 1, with secret app.")
    browser.js("document.querySelector('[name=database]').value = 'ap'")
    browser.press("Explain")
    browser.reads('Did you mean database "app"?')
    go(browser, "databases")


def look_at_one_by_one(browser):
    go(browser, "servers")
    browser.wait("document.querySelectorAll('#view tbody tr').length")
    go(browser, "clients")
    browser.wait("document.querySelectorAll('#view tbody tr').length === 1")
    browser.press("End …")
    browser.press("End it")
    browser.wait("document.querySelectorAll('#view tbody tr').length === 0")
    go(browser, "audit")
    for words in ["session.start", "secret.adopt", "session.end", "PAUSE app", "KILL_CLIENT"]:
        browser.reads(words)


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
    steer(browser)

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
    look_at_one_by_one(browser)
    assert browser.problems == []

    let("stop")
    browser.reads("The proxy does not answer")
    let("start")
    browser.wait("document.querySelector('.link.live')")
    browser.reads("All is well.")
    go(browser, "secrets")
    # It has made another token.
    browser.reads("Give the token")
    assert "Look for a new version" not in browser.text()


with Browser() as opened:
    follow(opened, *sys.argv[1:])
