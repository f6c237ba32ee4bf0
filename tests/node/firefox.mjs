// Firefox as a program: orders come in as lines of JSON, each is answered by one line.
// puppeteer-core drives it over WebDriver BiDi; it ends when its input does.
import { createInterface } from 'node:readline';
import puppeteer from 'puppeteer-core';

const EACH_MS = 100;
const [executablePath, guard] = [process.argv[2], Number(process.argv[3])];
const browser = await puppeteer.launch({
  browser: 'firefox',
  executablePath,
  headless: true,
  defaultViewport: { width: 1280, height: 1000 }, // the settings are seen without scrolling
  extraPrefsFirefox: {
    'media.navigator.permission.disabled': true, // nobody is there to be asked
    'media.autoplay.default': 0,
    'media.autoplay.blocking_policy': 0,
    'media.peerconnection.ice.obfuscate_host_addresses': false, // names that nobody resolves here
  },
});
const complaints = [];
let context, page;

/** Note what the browser complains of, except requests that the server refused. */
function complain(text) {
  if (!/can’t establish a connection|was interrupted while the page|NetworkError/.test(text)) complaints.push(text);
}

const orders = {
  async open({ url, settings }) {
    await context?.close();
    context = await browser.createBrowserContext();
    page = await context.newPage();
    page.on('pageerror', (error) => complain(error.message));
    page.on('console', (message) => message.type() === 'error' && complain(message.text()));
    await page.goto(url);
    await page.evaluate((text) => localStorage.setItem('realtime.settings', text), JSON.stringify(settings));
    await page.reload();
  },
  async until({ script }) {
    const end = Date.now() + guard;
    for (;;) {
      const value = await page.evaluate(script);
      if (value) return value;
      if (Date.now() > end) {
        const text = await page.evaluate('document.body.innerText');
        throw new Error(`not so within ${guard} ms: ${script}\n${text}`);
      }
      await new Promise((resolve) => setTimeout(resolve, EACH_MS));
    }
  },
  click: ({ selector }) => page.click(selector),
  type: ({ selector, text }) => page.type(selector, text),
  down: ({ key }) => page.keyboard.down(key),
  up: ({ key }) => page.keyboard.up(key),
  async give({ selector, file }) {
    const input = await page.$(selector);
    await input.uploadFile(file);
  },
  complaints: () => complaints.splice(0),
};

const tell = (line) => console.log(JSON.stringify(line));
tell({ value: { pid: browser.process().pid, version: await browser.version() } });
for await (const line of createInterface({ input: process.stdin })) {
  const { order, ...fields } = JSON.parse(line);
  try {
    tell({ value: (await orders[order](fields)) ?? null });
  } catch (error) {
    tell({ error: error.message });
  }
}
await browser.close();
