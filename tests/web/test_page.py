"""The page in a real Chromium: files, keyboard, refusals, a lost server, and what can be saved."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from playwright.async_api import expect
from web.browsing import SAMPLES, TRANSPORTS, answers, say, serving, use

from realtime.engine.fake import FakeEngine
from realtime.gateway.access.settings import AuthConfig

pytestmark = [pytest.mark.real_time, pytest.mark.asyncio(loop_scope="session")]

NOBODY_ASKED = ["--use-fake-device-for-media-stream", "--deny-permission-prompts"]
PHONE = {"width": 360, "height": 740}
DROP = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true }));
  }
}"""


async def ask(page, text: str, answer: str) -> None:
    """Ask in writing, by the keyboard alone."""
    before = await answers(page).count()
    await page.get_by_label("Write", exact=True).fill(text)
    await page.keyboard.press("Enter")
    await expect(answers(page)).to_have_count(before + 1)
    await expect(answers(page).last).to_have_text(answer)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_dropped_sound_is_analysed(transport, server, chromium):
    page = await chromium.open(server.url)
    await use(page, transport=transport)
    await page.get_by_label("Analysis").check()
    sound = base64.b64encode((SAMPLES / "siren.wav").read_bytes()).decode()
    await page.evaluate(DROP, ["siren.wav", sound])
    await expect(page.locator("#attachment .file")).to_have_text("siren.wav")
    await page.get_by_role("button", name="What's that sound?").click()
    await page.get_by_role("button", name="Send").click()
    await expect(answers(page)).to_have_text(["It is a siren."])
    await expect(page.get_by_role("button", name="Play siren.wav")).to_be_enabled()
    written = page.locator(".user.file + .user.written .words")  # behind what it is about
    await expect(written).to_contain_text("What's that sound?")


async def test_a_file_that_is_no_sound_is_refused_in_words(chromium):
    async with serving(FakeEngine()) as server:
        page = await chromium.open(server.url)
        file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound at all"}
        await page.locator("#file").set_input_files(file)
        await expect(page.get_by_role("alert")).to_contain_text("notes.txt is no audio file")
        await page.get_by_role("button", name="Dismiss").click()
        await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_denied_microphone_is_explained_and_writing_still_works(chromium):
    async with serving(FakeEngine("Hello there.")) as server:
        page = await chromium.open(server.url, more=NOBODY_ASKED)
        await page.get_by_role("button", name="Start the microphone").click()
        await expect(page.get_by_role("alert")).to_contain_text("microphone is not allowed")
        await ask(page, "hello", "Hello there.")


async def test_a_page_without_a_secure_origin_says_so_and_a_key_opens_the_server(chromium):
    async with serving(
        FakeEngine("Hello there."), auth=AuthConfig(keys=("OpenSesame1234567890abcd",))
    ) as server:
        more = ["--host-resolver-rules=MAP plain.test 127.0.0.1"]
        page = await chromium.open(f"http://plain.test:{server.port}/", more=more)
        await expect(page.locator("#welcome-hint")).to_contain_text("https or on localhost")
        await page.get_by_role("button", name="Start the microphone").click()
        await expect(page.get_by_role("alert")).to_contain_text("https")
        await page.get_by_label("Write", exact=True).fill("hello")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
        await expect(page.locator("#notice")).to_contain_text("wants a key")
        await page.get_by_label("Server key").fill("OpenSesame1234567890abcd")
        await page.get_by_role("button", name="Done").click()
        await expect(page.get_by_label("Write", exact=True)).to_have_value("hello")
        await page.get_by_role("button", name="Send").click()
        await expect(answers(page)).to_have_text(["Hello there."])


async def test_a_page_that_may_not_connect_is_told_so(chromium):
    async with serving(FakeEngine("Hello there.")) as server:
        # As behind a proxy that lets the server believe it were called localhost.
        async def proxy(route):
            url = route.request.url.replace("plain.test", "localhost")
            await route.fulfill(response=await route.fetch(url=url))

        more = ["--host-resolver-rules=MAP plain.test 127.0.0.1"]
        page = await chromium.open(server.url, more=more)
        await page.route("http://plain.test:*/**", proxy)
        await page.goto(f"http://plain.test:{server.port}/")
        await use(page, transport="websocket")
        await page.get_by_label("Write", exact=True).fill("hello")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("may not connect to this server")


async def test_the_websocket_is_taken_where_webrtc_finds_no_way(chromium):
    async with serving(FakeEngine("Hello there.")) as server:
        page = await chromium.open(server.url)
        await page.route("**/v1/realtime/calls", lambda route: route.fulfill(status=404))
        await ask(page, "hello", "Hello there.")
        await expect(page.locator("#link-text")).to_have_text("WebSocket")


async def test_a_conversation_survives_a_lost_connection_and_a_reload(chromium):
    engine = FakeEngine("Hello there.")
    async with serving(engine) as server:
        page = await chromium.open(server.url)
        await use(page, transport="websocket")
        await ask(page, "one", "Hello there.")
        for connection in tuple(server.gateway.connections):
            connection.leave(1012, "the socket is needed elsewhere")
        await expect(page.locator("#link")).to_have_attribute("data-state", "open")
        await ask(page, "two", "Hello there.")
        assert len(engine.requests[-1].turns) == 3  # it is the same conversation
        await page.wait_for_function(
            "() => sessionStorage['realtime.conversation']?.includes('two')"
        )
        await expect(answers(page)).to_have_count(2)
        await page.reload()
        await expect(answers(page)).to_have_count(2)
        await ask(page, "three", "Hello there.")
        assert len(engine.requests[-1].turns) == 5


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_restarted_server_is_told_the_conversation_again(transport, server, chromium):
    page = await chromium.open(server.url)
    await use(page, transport=transport, transcribe=False)
    await page.locator("#talk").click()
    await say(page, "my-name-is-anna.wav")
    await expect(answers(page)).to_have_text(["Nice to meet you, Anna."])
    await server.stop()
    await expect(page.locator("#link-text")).to_have_text("Reconnecting")
    await server.start()
    await expect(page.locator("#link-text")).to_have_text(TRANSPORTS[transport])
    await expect(page.get_by_role("alert")).to_contain_text("told it again")
    await say(page, "what-is-my-name.wav")
    await expect(answers(page).last).to_have_text("Your name is Anna.")


async def test_the_conversation_is_saved_as_text_and_as_json(chromium):
    async with serving(FakeEngine("Hello there.")) as server:
        page = await chromium.open(server.url)
        await ask(page, "good morning", "Hello there.")
        saved = {}
        for name in ("Save as text", "Save as JSON"):
            await page.get_by_role("button", name="Menu").click()
            async with page.expect_download() as download:
                await page.get_by_role("button", name=name).click()
            file = await download.value
            path = Path(await file.path())
            saved[Path(file.suggested_filename).suffix] = await asyncio.to_thread(path.read_text)
    assert "You: good morning\nAssistant: Hello there.\n" in saved[".txt"]
    exported = json.loads(saved[".json"])
    assert [item["text"] for item in exported["items"]] == ["good morning", "Hello there."]
    assert exported["model"] == "fake"


async def test_everything_is_reached_and_named_from_the_keyboard(chromium):
    async with serving(FakeEngine("Hello there.")) as server:
        page = await chromium.open(server.url)
        names = []
        for _ in range(8):
            await page.keyboard.press("Tab")
            names.append(
                await page.evaluate(
                    """() => {
                      const e = document.activeElement;
                      const label = e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText;
                      return (label ?? e.innerText).trim();
                    }"""
                )
            )
        assert names == [
            "Skip to writing",
            "Menu",
            "Settings",
            "Start the microphone",
            "Conversation",
            "Hands-free",
            "Add an audio file",
            "Write",
        ]
        await expect(page.get_by_label("Write", exact=True)).to_be_focused()
        await expect(page.locator("#composer")).to_have_css("outline-style", "solid")
        await ask(page, "hello", "Hello there.")
        # A screen reader is told the answer once, when it is complete.
        await expect(page.locator("#announcer")).to_have_text("Hello there.")
        await page.get_by_role("button", name="Settings").focus()
        await expect(page.locator("#settings-button")).to_have_css("outline-style", "solid")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
        await page.get_by_label("Transport").select_option("WebSocket")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.reload()
        await page.get_by_role("button", name="Settings").click()
        await expect(page.get_by_label("Transport")).to_have_value("websocket")


@pytest.mark.parametrize("mode", ["Conversation", "Analysis"])
async def test_nothing_overflows_a_small_phone(mode, chromium):
    async with serving(FakeEngine("Supercalifragilisticexpialidocious" * 4)) as server:
        page = await chromium.open(server.url, viewport=PHONE)
        await page.get_by_role("radio", name=mode).check()
        await page.get_by_role("textbox").fill("x" * 200)
        await page.keyboard.press("Enter")
        await expect(answers(page)).to_have_count(1)
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"]
        for element in await page.locator("footer button:visible, footer label:visible").all():
            box = await element.bounding_box()
            assert box is not None
            if await element.evaluate("e => !e.closest('#presets') && !e.closest('.hidden')"):
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= PHONE["width"]
