"""The status page in a real browser, in every state that it is made for."""

import pytest
import states
from browser import Browser
from stand_in import TOKEN, StandIn

VIEWS = ["databases", "secrets", "clients", "servers", "rules", "rotations", "audit"]
SCREENS = {"desktop": (1280, 800), "phone": (360, 740)}


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture
def proxy(browser):
    with StandIn() as proxy:
        browser.show(*SCREENS["desktop"])
        browser.problems.clear()
        yield proxy
    browser.call("Page.navigate", url="about:blank")


def shown(browser, proxy, state, view="", token=None):
    proxy.set(states.ALL[state]())
    if token:
        browser.open(proxy.url)
        browser.wait("location.protocol === 'http:'")
        browser.js(f"sessionStorage.setItem('pgvalet-token', '{token}')")
    browser.open(proxy.url + view)
    if token:
        browser.reads("Forget the token")
    browser.wait("!document.querySelector('#verdict-words').innerText.startsWith('Connecting')")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("state", ["rest", "rotation", "trouble", "hostile", "nothing"])
def test_nobody_is_kept_out(browser, proxy, state, screen, dark):
    browser.show(*SCREENS[screen], dark)
    for view in ["databases", "secrets"]:
        shown(browser, proxy, state, f"#{view}")
        browser.wait("document.querySelector('#view table, #view .rows')")
        browser.js("document.querySelector('.toggle')?.click()")
        assert browser.violations() == []
        assert not browser.overflows()
    assert browser.problems == []


@pytest.mark.parametrize("screen,dark", [("desktop", True), ("phone", False)])
@pytest.mark.parametrize("view", VIEWS[2:])
def test_nobody_is_kept_out_of_a_view(browser, proxy, view, screen, dark):
    browser.show(*SCREENS[screen], dark)
    shown(browser, proxy, "rotation", f"#{view}", TOKEN)
    browser.wait(f"document.querySelector('[aria-current]').hash === '#{view}'")
    browser.wait("document.querySelector('#view table')")
    assert browser.violations() == []
    assert not browser.overflows()
    assert browser.problems == []


def test_the_verdict_is_in_words(browser, proxy):
    shown(browser, proxy, "rest")
    browser.reads("All is well.")
    assert browser.js("document.title") == "pgvalet: well"
    proxy.set(states.rotation())
    browser.reads("All is well. prod/orders moves to a new version.")
    browser.reads("5 connections left, kept by orders-api and settlement")
    browser.reads("2 waiting, longest 340 ms")
    proxy.set(states.trouble())
    browser.reads("2 things are wrong.")
    browser.reads("AWSCURRENT of prod/orders does not log in: 28P01; version 1a4f9c02 stays in force")
    browser.reads("pgvalet secret put prod/orders, with the password that Postgres has")
    assert browser.js("document.title") == "pgvalet: 2 wrong"
    proxy.set(states.nothing())
    browser.reads("This proxy cannot serve clients yet.")


def test_a_pool_that_lingers_stands_beside_the_new_one(browser, proxy):
    twice = states.rest()
    twice["databases"].append({**twice["databases"][1], "clients": 1})
    shown(browser, proxy, "rest")
    for state, rows in [(twice, 4), (twice, 4), (states.rest(), 3), (twice, 4)]:
        proxy.set(state)
        browser.wait(f"document.querySelectorAll('.pools > li').length === {rows}")
    assert browser.problems == []


def test_what_wants_attention_comes_first(browser, proxy):
    first = "document.querySelector('.pools h2').innerText.trim()"
    shown(browser, proxy, "rotation")
    browser.wait(f"{first} === 'orders'")
    proxy.set(states.trouble())
    browser.wait(f"{first} === 'billing'")


def test_the_old_colour_drains_into_the_new(browser, proxy):
    def cells(kind):
        return browser.js(f"document.querySelectorAll('.pools li:first-child .cells .{kind}').length")

    shown(browser, proxy, "rotation")
    assert (cells("g1.held"), cells("g1.idle"), cells("g0.old")) == (6, 2, 5)
    assert (cells("opening"), cells("free")) == (2, 5)
    words = browser.js("document.querySelector('.cells').getAttribute('aria-label')")
    assert words == (
        "13 of 20 server connections: version 9be2d7f1: 6 in use, 2 idle;"
        " version 1a4f9c02 (drains): 4 in use, 1 idle; 2 logging in"
    )
    after = states.rotation()
    after["databases"][1]["generations"].pop()
    proxy.set(after)
    browser.wait("!document.querySelector('.cells .old')")


def test_names_are_text(browser, proxy):
    shown(browser, proxy, "hostile", token=TOKEN)
    browser.js("document.querySelector('.toggle').click()")
    browser.wait("document.querySelector('.details')")
    browser.reads(states.HOSTILE)
    for view in VIEWS:
        browser.js(f"location.hash = '{view}'")
        browser.wait(f"document.querySelector('[aria-current]').hash === '#{view}'")
        browser.wait("document.querySelector('#view table, #view .rows')")
        assert "onerror" in browser.text() or view in ["servers", "rotations"]
        assert browser.js("document.images.length") == 0
        assert not browser.js("!!window.hacked")
    # And if a name became markup nevertheless, the browser would refuse it.
    assert browser.js("(() => { try { document.body.innerHTML = '<b>'; } catch { return true } })()")


def test_two_hundred_databases_are_searched_and_drawn_in_no_time(browser, proxy):
    shown(browser, proxy, "many")
    browser.wait("document.querySelectorAll('.pools > li').length === 200")
    assert browser.js("document.querySelector('.pools h2').innerText").strip() == "tenant_003"
    browser.js("document.querySelector('input[type=search]').focus()")
    browser.type("tenant_19")
    browser.wait("document.querySelectorAll('.pools > li').length === 10")
    assert browser.violations() == []
    # A new status does not disturb whoever types.
    proxy.set(states.many())
    browser.type("7")
    browser.wait("document.querySelectorAll('.pools > li').length === 1")
    assert browser.js("document.activeElement.value") == "tenant_197"
    browser.type("x")
    browser.reads("No database or secret is called that.")


def test_the_keyboard_reaches_everything(browser, proxy):
    shown(browser, proxy, "rotation")
    reached = []
    for _ in range(12):
        browser.key("Tab", 9)
        reached.append(browser.js("document.activeElement.innerText?.trim() || document.activeElement.type"))
    assert reached[0] == "Skip to the view"
    assert "Give the token …" in reached and "search" in reached
    browser.js("document.querySelector('.toggle').focus()")
    browser.key("Enter", 13, "\r")
    browser.wait("document.querySelector('.toggle').ariaExpanded === 'true'")
    browser.reads("Who keeps an old version")
    # It is still where it was, after a new status.
    proxy.set(states.rotation())
    browser.key("Enter", 13, "\r")
    browser.wait("document.querySelector('.toggle').ariaExpanded === 'false'")


def column(browser, number):
    tables = "[...document.querySelectorAll('#view table')]"
    cells = f"[...{tables}.at(-1).querySelectorAll('td:nth-child({number})')]"
    return browser.js(f"{cells}.map(cell => cell.innerText)")


def test_who_keeps_an_old_version_is_found_and_ended(browser, proxy):
    shown(browser, proxy, "rotation", "#clients")
    give_token(browser, TOKEN)
    # Who waits comes first, then who is idle in a transaction, then who works; of these, who has longest.
    browser.wait("document.querySelectorAll('#view td').length")
    assert column(browser, 1) == ["32", "31", "23", "17", "9", "4"]
    browser.js("document.querySelector('input[type=checkbox]').click()")
    browser.wait("document.querySelectorAll('#view tbody tr').length === 2")
    assert "keeps state on the server: holds advisory locks" in browser.text()
    browser.press("Session")
    browser.wait("document.querySelector('th').ariaSort === 'ascending'")
    assert column(browser, 1) == ["17", "23"]
    browser.press("Session")
    browser.wait("document.querySelector('th').ariaSort === 'descending'")
    assert column(browser, 1) == ["23", "17"]
    browser.press("End …")
    browser.reads("End this session of settlement?")
    browser.press("End it")
    browser.reads("Session 23 was ended.")
    assert proxy.asked == ["/kill?id=23"]


def test_rules_explain_themselves(browser, proxy):
    shown(browser, proxy, "rest", "#rules", TOKEN)
    browser.wait("document.querySelectorAll('#view tbody tr').length === 3")
    browser.js("document.querySelector('[name=database]').focus()")
    browser.type("orders")
    browser.js("document.querySelector('[name=from]').focus()")
    browser.type("192.0.2.1")
    browser.key("Enter", 13, "\r")
    browser.reads('Denied: no rule lets this client use this database. Did you mean database "orders"?')
    browser.reads("192.0.2.1 is not in 10.0.0.0/8")
    assert proxy.explained == ["/explain?database=orders&from=192.0.2.1"]
    assert browser.violations() == []


def test_steps_are_listed_newest_first(browser, proxy):
    shown(browser, proxy, "rest", "#rotations")
    browser.wait("document.querySelectorAll('#view tbody tr').length === 6")
    assert column(browser, 3) == ["testSecret", "setSecret", "createSecret", "begin"]
    browser.press("Step")
    browser.wait("document.querySelector('[aria-sort=ascending]')")
    assert column(browser, 3) == ["begin", "createSecret", "setSecret", "testSecret"]
    browser.js("document.querySelector('input[type=search]').focus()")
    browser.type("28P01")
    browser.wait("document.querySelectorAll('#view tbody tr').length === 3")


def test_records_are_listed_newest_first(browser, proxy):
    shown(browser, proxy, "rest", "#audit", TOKEN)
    browser.reads("session.deny")
    assert column(browser, 2)[0] == "session.end"
    browser.js("document.querySelector('input[type=search]').focus()")
    browser.type("no_rule")
    browser.wait("document.querySelectorAll('#view tbody tr').length === 1")


def give_token(browser, token):
    browser.press("Give the token")
    browser.wait("document.activeElement.type === 'password'")
    browser.type(token)
    browser.key("Enter", 13, "\r")
    browser.wait("!document.querySelector('dialog[open]')")


def test_nothing_is_offered_without_the_token(browser, proxy):
    shown(browser, proxy, "rest", "#secrets")
    assert "Look for" not in browser.text()
    assert "Rules" not in browser.text() and "Audit log" not in browser.text()
    give_token(browser, TOKEN)
    browser.press("Look for a new version")
    browser.reads("prod/billing has no new version.")
    assert proxy.asked == ["/refresh?secret=prod%2Fbilling"]
    # Another tab does not have it.
    assert browser.js("localStorage.length + document.cookie.length") == 0
    browser.press("Forget the token")
    browser.wait("!document.body.innerText.includes('Look for')")
    assert browser.js("sessionStorage.length") == 0


def test_what_disturbs_clients_is_confirmed(browser, proxy):
    shown(browser, proxy, "rest")
    browser.js("document.querySelector('.toggle').click()")
    browser.wait("document.querySelector('.details')")
    assert "Pause" not in browser.text()
    give_token(browser, TOKEN)
    browser.press("Pause …")
    browser.reads("Pause billing?")
    assert browser.violations() == []
    browser.press("Cancel")
    browser.wait("!document.querySelector('dialog[open]')")
    browser.press("Pause …")
    browser.key("Escape", 27)
    browser.wait("!document.querySelector('dialog[open]')")
    # Enter, too, does nothing by mistake: the focus is on what cancels.
    browser.press("End its clients …")
    browser.reads("12 clients of it will be disconnected")
    browser.key("Enter", 13, "\r")
    browser.wait("!document.querySelector('dialog[open]')")
    assert proxy.asked == []
    browser.press("Pause …")
    browser.press("Pause")
    browser.reads("billing is paused.")
    assert proxy.asked == ["/pause?database=billing"]
    paused = states.rest()
    paused["databases"][0]["paused"] = True
    proxy.set(paused)
    browser.press("Resume")
    browser.reads("billing is resumed.")
    proxy.refuses = {"error": "database \"billing\" is not paused", "hint": "See to it."}
    browser.press("Resume")
    browser.reads('That did not work: database "billing" is not paused. See to it.')


def test_a_proxy_that_wants_a_token_says_so(browser, proxy):
    proxy.locked = True
    browser.open(proxy.url)
    browser.reads("shows its state only to those who have its token")
    assert browser.violations() == []
    give_token(browser, "wrong")
    browser.reads("This token is not the one of this proxy.")
    browser.press("Forget the token")
    give_token(browser, TOKEN)
    browser.reads("All is well.")


def test_a_proxy_that_goes_away_is_said_to_be_gone(browser, proxy):
    shown(browser, proxy, "rest")
    proxy.leave()
    browser.reads("The proxy does not answer")
    browser.reads("What you see is from")
    assert browser.js("document.title") == "pgvalet: no answer"
    for dark in [False, True]:
        browser.show(*SCREENS["phone"], dark)
        assert browser.violations() == []
    proxy.come_back()
    browser.press("Try now")
    browser.wait("document.querySelector('.link.live')")
    assert "does not answer" not in browser.text()
