// Builds the pages: bundles src/ into dist/, names each asset after a hash of its content, and compresses what a browser
// can be sent compressed. `npm run build`.
import { build } from 'esbuild';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import zlib from 'node:zlib';

const here = import.meta.dirname;
const dist = path.join(here, 'dist');
const brotli = promisify(zlib.brotliCompress);
const gzip = promisify(zlib.gzip);

/** What is bundled into the pages, and so owes its authors a notice. */
const bundled = ['mqtt', 'uplot'];

await empty(dist);
const assets = await bundle();
await page(assets);
await copy('icon.svg');
await notices();
await compress(dist);

async function empty(folder) {
  for (const name of await readdir(folder)) {
    if (name !== 'README.txt') await rm(path.join(folder, name), { recursive: true });
  }
}

/** Returns the hashed name of each entry's output, e.g. {'main.js': 'assets/main-ABCD.js'}. */
async function bundle() {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: ['src/main.js', 'src/style.css'],
    outdir: 'dist/assets',
    entryNames: '[name]-[hash]',
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    metafile: true,
    logLevel: 'warning',
  });
  const outputs = Object.entries(metafile.outputs).filter(([, o]) => o.entryPoint);
  return Object.fromEntries(outputs.map(([file, o]) => [path.basename(o.entryPoint), path.relative('dist', file)]));
}

async function page(assets) {
  let html = await readFile(path.join(here, 'src/index.html'), 'utf8');
  for (const [name, hashed] of Object.entries(assets)) {
    if (!html.includes(`"${name}"`)) throw new Error(`src/index.html does not refer to "${name}"`);
    html = html.replace(`"${name}"`, `"${hashed}"`);
  }
  await writeFile(path.join(dist, 'index.html'), html);
}

async function copy(name) {
  await writeFile(path.join(dist, name), await readFile(path.join(here, 'src', name)));
}

async function notices() {
  const parts = await Promise.all(bundled.map(async (name) => {
    const folder = path.join(here, 'node_modules', name);
    const { version, license } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
    const file = (await readdir(folder)).find((f) => /^licen[cs]e/i.test(f));
    return `${name} ${version} (${license})\n\n${file ? await readFile(path.join(folder, file), 'utf8') : ''}`;
  }));
  await writeFile(path.join(dist, 'third-party.txt'), parts.join('\n\n----\n\n'));
}

async function compress(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!/\.(html|js|css|svg)$/.test(entry.name)) continue;
    const file = path.join(entry.parentPath, entry.name);
    const data = await readFile(file);
    await writeFile(`${file}.br`, await brotli(data));
    await writeFile(`${file}.gz`, await gzip(data, { level: 9 }));
  }
}
