"""What the page says of the server and of itself, and what it offers: in a real Chromium."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from web.browsing import GUARD_MS, answers, serving, use

from realtime.engine.api import Loading, Sampling, SystemTurn
from realtime.engine.fake import FAKE_MODEL, FakeEngine
from realtime.gateway.access.settings import AuthConfig

pytestmark = [pytest.mark.real_time, pytest.mark.asyncio(loop_scope="session")]

KEY = "OpenSesame1234567890abcd"
WIDTHS = {1280: 860, 700: 740, 360: 740}
AXE = Path(__file__).parents[1] / "node/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
PLACES = """() => ["#mode", "#way", "#talk", "#words"].map((id) => {
  const { left, right, top } = document.querySelector(id).getBoundingClientRect();
  return [id, left, right, top].join(" ");
})"""


async def write(page: Page, text: str) -> None:
    await page.locator("#words").fill(text)
    await page.locator("#words").press("Enter")


async def state(page: Page, name: str) -> None:
    await expect(page.locator("#link")).to_have_attribute("data-state", name)


async def listening(page: Page) -> None:
    await page.locator("#talk").click()
    await page.wait_for_function("() => document.body.dataset.phase === 'listening'")


async def test_a_keyed_server_asks_for_its_key_and_done_connects(chromium):
    async with serving(FakeEngine("Hello there."), auth=AuthConfig(keys=(KEY,))) as server:
        page = await chromium.open(server.url)
        await page.locator("#talk").click()
        dialog = page.get_by_role("dialog", name="Settings")
        field = page.get_by_label("Server key")
        for wrong, words in (
            ("nobody-knows-this-key-0000", "The server wants a key."),
            (KEY, "The server does not know this key."),
        ):
            await expect(dialog.get_by_role("alert").filter(visible=True)).to_have_text(words)
            await expect(field).to_be_focused()
            await field.fill(wrong)
            await page.keyboard.press("Enter")  # as pressing Done
        await state(page, "open")
        await expect(page.locator("#phase-text")).to_have_text("Listening")  # as was wanted
        await expect(page.locator("#notice")).to_be_hidden()
        await expect(dialog).to_be_hidden()


async def test_loading_is_told_as_it_goes_and_then_the_page_connects(chromium):
    engine = FakeEngine("Hello there.")
    engine.state = Loading("weights", 0.43)
    async with serving(engine) as server:
        page = await chromium.open(server.url)
        loading = page.locator("#loading")
        await expect(loading).to_have_text("The model is being loaded: weights, 43 %.")
        await write(page, "hello")
        await expect(page.locator("#link-text")).to_have_text("Loading")
        engine.state = Loading("weights", 0.8)
        await expect(loading).to_have_text("The model is being loaded: weights, 80 %.")
        await expect(page.locator("#notice")).to_be_hidden()
        await expect(page.locator(".user.waiting .words")).to_contain_text("hello")
        engine.state = FAKE_MODEL
        await expect(answers(page)).to_have_text(["Hello there."])
        await expect(loading).to_be_hidden()


async def test_what_is_written_while_the_server_is_down_is_shown_and_sent_once(chromium):
    engine = FakeEngine("Hello there.")
    async with serving(engine) as server:
        page = await chromium.open(server.url)
        await use(page, transport="websocket")
        await write(page, "one")
        await expect(answers(page)).to_have_count(1)
        await server.stop()
        await state(page, "waiting")
        await write(page, "two")
        await write(page, "three")
        waiting = page.locator(".user.waiting")
        await expect(waiting.locator(".words")).to_have_text(["You: two", "You: three"])
        await expect(waiting.locator(".pending").first).to_have_text("Waiting for the server")
        await server.start()
        await expect(answers(page)).to_have_count(3, timeout=GUARD_MS)
        await expect(waiting).to_have_count(0)
        await expect(page.locator(".user .words")).to_have_text(
            ["You: one", "You: two", "You: three"]
        )


@pytest.mark.parametrize("width", WIDTHS)
async def test_what_the_page_says_of_itself_moves_nothing(width, chromium):
    async with serving(FakeEngine()) as server:
        viewport = {"width": width, "height": WIDTHS[width]}
        page = await chromium.open(server.url, viewport=viewport)
        for settings in (
            {"mode": "analysis", "standing": True},
            {"mode": "conversation"},
            {"mode": "conversation", "talk": "push"},
        ):
            await use(page, **settings)
            before = await page.evaluate(PLACES)
            if settings.get("talk") == "push":
                await page.locator("#talk").click()
                await page.wait_for_function("() => document.body.dataset.phase === 'hearing'")
            else:
                await listening(page)
            assert await page.evaluate(PLACES) == before
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await expect(page.locator("#model")).to_have_text("fake")
        await expect(page.locator("#model")).to_be_visible()


async def test_hold_mode_says_hold_and_captioning_is_called_so(chromium):
    async with serving(FakeEngine()) as server:
        page = await chromium.open(server.url)
        await page.get_by_role("radio", name="Hold to talk").check()
        await expect(page.get_by_role("heading", name="Hold the button and speak.")).to_be_visible()
        await expect(page.locator("#phase-text")).to_contain_text("Hold the button")
        await expect(page.get_by_role("button", name="Hold to talk")).to_be_visible()
        await page.get_by_role("radio", name="Hands-free").check()
        await expect(page.get_by_role("heading", name="Press the button")).to_be_visible()
        await page.get_by_role("radio", name="Analysis").check()
        await page.get_by_label("Every turn").check()
        await listening(page)
        await expect(page.locator("#phase-text")).to_have_text("Captioning")


async def test_saving_and_copying_are_offered_where_there_is_something(chromium):
    async with serving(FakeEngine("Hello there.")) as server:
        page = await chromium.open(server.url, permissions=["clipboard-read", "clipboard-write"])
        await page.get_by_role("button", name="Menu").click()
        await expect(page.get_by_role("button", name="New conversation")).to_be_visible()
        await expect(page.get_by_role("button", name="Save as")).to_have_count(0)
        await page.keyboard.press("Escape")
        await write(page, "hello")
        await page.get_by_role("button", name="Copy the answer").click()
        await expect(page.locator(".copy")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == "Hello there."
        await page.get_by_role("button", name="Menu").click()
        await expect(page.get_by_role("button", name="Save as")).to_have_count(2)


async def test_copying_works_without_a_secure_origin(chromium):
    async with serving(FakeEngine("Hello there."), auth=AuthConfig(keys=(KEY,))) as server:
        more = ["--host-resolver-rules=MAP plain.test 127.0.0.1"]
        page = await chromium.open(f"http://plain.test:{server.port}/", more=more)
        await use(page, key=KEY)
        await write(page, "hello")
        await page.get_by_role("button", name="Copy the answer").click()
        await expect(page.locator(".copy")).to_have_text("Copied")
        words = page.locator("#words")
        await words.focus()
        await page.keyboard.press("Control+V")
        await expect(words).to_have_value("Hello there.")


async def test_the_model_is_told_what_was_chosen(chromium):
    engine = FakeEngine("One two three four five six seven eight nine ten.")
    async with serving(engine) as server:
        page = await chromium.open(server.url)
        usual = (None, Sampling().max_tokens)
        await page.get_by_role("button", name="Settings").click()
        await page.get_by_label("System prompt").fill("Be brief.")
        await page.get_by_label("Temperature").fill("0.5")
        await page.get_by_label("Longest answer").fill("7")
        await page.get_by_role("button", name="Done").click()
        await write(page, "count")
        await expect(answers(page)).to_have_count(1)
        await expect(answers(page)).to_have_text(["One two three four five six seven"])
        request = engine.requests[-1]
        assert request.turns[0] == SystemTurn("Be brief.")
        assert (request.sampling.temperature, request.sampling.max_tokens) == (0.5, 7)
        await page.get_by_role("button", name="Settings").click()
        for name in ("System prompt", "Temperature", "Longest answer"):
            await page.get_by_label(name).fill("")
        await page.get_by_role("button", name="Done").click()
        await write(page, "count")
        await expect(answers(page)).to_have_count(2)
        request = engine.requests[-1]
        assert not isinstance(request.turns[0], SystemTurn)
        assert (request.sampling.temperature, request.sampling.max_tokens) == usual


async def test_developers_see_the_events_and_no_secret(chromium):
    async with serving(FakeEngine("Hello there.")) as server:
        page = await chromium.open(server.url, permissions=["clipboard-read", "clipboard-write"])
        await use(page, transport="websocket")
        await expect(page.locator("#inspector")).to_be_hidden()
        await page.get_by_role("button", name="Settings").click()
        await page.get_by_label("Show the events").check()
        await page.get_by_role("button", name="Done").click()
        events = page.get_by_role("complementary", name="Events")
        await write(page, "hello")
        await expect(answers(page)).to_have_count(1)
        await expect(events.get_by_text("response.done")).to_be_visible()
        await events.get_by_label("Filter the events").fill("session.created")
        await expect(events.get_by_role("listitem")).to_have_count(1)
        await events.get_by_text("session.created").click()
        kept = "() => JSON.parse(sessionStorage['realtime.conversation'] ?? '{}').resume"
        resume = await (await page.wait_for_function(kept)).json_value()
        shown = events.locator("pre")
        await expect(shown).to_contain_text('"resume": "(hidden)"')
        await events.get_by_label("Filter the events").fill("")
        await events.get_by_role("button", name="Copy the events as JSON").click()
        await expect(events.get_by_text("Copied")).to_be_visible()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert resume not in copied
        told = [(entry["way"], entry["event"]["type"]) for entry in json.loads(copied)]
        assert told.index(("sent", "response.create")) < told.index(("received", "response.done"))
        await events.get_by_role("button", name="Hide the events").click()
        await expect(events).to_be_hidden()
        await page.get_by_role("button", name="Menu").click()
        await page.get_by_role("button", name="Events").click()
        await expect(events).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
async def test_axe_finds_nothing(width, scheme, chromium):
    if not AXE.exists():
        pytest.skip("needs the packages of tests/node (scripts/setup)")
    axe = AXE.read_text()

    async def check() -> None:
        await page.evaluate(axe)
        found = await page.evaluate(
            "async (runOnly) => (await window.axe.run(document, { runOnly })).violations"
            ".map(({ id, nodes }) => [id, nodes[0].html])",
            RULES,
        )
        assert found == []

    async with serving(FakeEngine("Hello there.")) as server:
        viewport = {"width": width, "height": WIDTHS[width]}
        options = {"color_scheme": scheme, "reduced_motion": "reduce"}
        page = await chromium.open(server.url, viewport=viewport, **options)
        await check()
        await write(page, "hello")
        await expect(answers(page)).to_have_count(1)
        await check()
        await page.get_by_role("button", name="Settings").click()
        await check()
        await page.get_by_label("Show the events").check()
        await page.get_by_role("button", name="Done").click()
        await page.locator("#inspector summary").first.click()
        await check()
