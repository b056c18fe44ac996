// Drives headless Chromium. Each visitor has a profile of their own: nothing is shared but, mostly, the process.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { chromium } from 'playwright-core';
import { PATIENCE, until } from './harness.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const settings = { viewport: { width: 1200, height: 700 }, colorScheme: 'dark', locale: 'en-GB' };

/**
 * A browser for the tests of a file. Returns visit(t, url): it opens the page for a visitor, who is gone with the test t;
 * at its end nothing may have gone wrong in the page.
 */
export function sharedBrowser() {
  let browser;
  after(async () => (await browser)?.close());
  return async (t, url) => {
    browser ??= chromium.launch({ executablePath, args, timeout: 3 * PATIENCE });
    return arrive(t, await (await browser).newContext(settings), url);
  };
}

/** The same, in a browser and with a profile of its own. */
export async function visitAlone(t, url, options = {}) {
  const profile = await mkdtemp(path.join(os.tmpdir(), 'outcry-browser-'));
  t.after(() => rm(profile, { recursive: true, force: true, maxRetries: 5 }));
  const context = await chromium.launchPersistentContext(profile, {
    ...settings, ...options, executablePath, args, timeout: 3 * PATIENCE,
  });
  return arrive(t, context, url);
}

async function arrive(t, context, url) {
  context.setDefaultTimeout(PATIENCE);
  const page = context.pages()[0] ?? await context.newPage();
  const visitor = new Visitor(page);
  t.after(async () => {
    await context.close();
    assert.deepEqual(visitor.complaints, [], 'the page complained');
  });
  await page.goto(url);
  return visitor;
}

/** Somebody in front of the page: what they do, and what they see. */
export class Visitor {
  complaints = [];
  expected = /^WebSocket connection to .* failed/; // a broker that is not there is told by the browser too; no fault of the page

  constructor(page) {
    this.page = page;
    page.on('pageerror', (err) => this.complaints.push(String(err.stack)));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !this.expected.test(message.text())) this.complaints.push(message.text());
    });
  }

  /** What stands in selector, on one line. */
  async text(selector) {
    return (await this.page.locator(selector).first().innerText()).replace(/\s+/g, ' ');
  }

  /** Waits until what stands in selector matches pattern. */
  async sees(selector, pattern) {
    let text = '';
    try {
      return await until(`${selector} shows ${pattern}`, async () => {
        text = await this.text(selector);
        return pattern.test(text) && text;
      });
    } catch (err) {
      throw new Error(`${err.message}; it shows ${JSON.stringify(text)}`, { cause: err });
    }
  }

  async connected() {
    await this.sees('#status', /^Connected/);
  }

  /** Clicks a room's tab and waits until one may speak there. */
  async enters(room) {
    await this.page.getByRole('tab', { name: room }).click();
    await this.sees('#say', /Send/);
    await until(`one may speak in ${room}`, () => this.page.getByPlaceholder(`Say something in ${room}`).isEnabled());
  }

  async joins(room) {
    await this.page.getByLabel('Room to join').fill(room);
    await this.page.getByRole('button', { name: 'Join' }).click();
  }

  async says(text) {
    await this.page.getByLabel('Message', { exact: true }).fill(text);
    await this.page.getByRole('button', { name: 'Send' }).click();
  }

  /** What was said in the room in front, as it is shown. */
  async heard() {
    return this.page.locator('#log .text').allInnerTexts();
  }

  async hears(text) {
    await until(`“${text}” is heard`, async () => (await this.heard()).includes(text));
  }

  /** Who is shown to be in the room in front. */
  async company() {
    return this.page.locator('#here li').allInnerTexts();
  }

  async prices() {
    return this.page.locator('#grid .price').allInnerTexts();
  }
}
