"""Makes the pictures of the page that README.md shows."""

import states
from browser import REPOSITORY, Browser
from stand_in import StandIn

# The name of a picture, the state that it shows, and the window: width, height, dark.
PICTURES = [
    ("page-rotation", states.rotation, (1100, 800, False)),
    ("page-trouble", states.trouble, (360, 800, True)),
]

with Browser() as browser, StandIn() as proxy:
    for name, state, window in PICTURES:
        proxy.set(state())
        browser.show(*window)
        browser.open(proxy.url)
        browser.wait("document.querySelector('.pools')")
        if state is states.rotation:
            browser.js("document.querySelector('.toggle').click()")
            browser.wait("document.querySelector('.details')")
        browser.picture(REPOSITORY / f"docs/{name}.png")
