// The detector page's search against the public mark's test vectors. The page is built before:
// `make page`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const built = new URL("../../narrator_daemon/emulator/page/detector/", import.meta.url);
const { PATTERN, PERIOD, RATE, read } = await import(new URL("mark.js", built));
const { bestOffset, bound, logTail, search } = await import(new URL("search.js", built));

const folder = new URL("../data/public_mark/", import.meta.url);
const vectors = JSON.parse(readFileSync(new URL("vectors.json", folder), "utf8"));
const UNCHANGED = { pace: 1, pitch: 1 };

function samplesOf(name) {
  const bytes = readFileSync(new URL(name, folder));
  const words = new Int16Array(bytes.buffer.slice(bytes.byteOffset + 44, bytes.byteOffset + bytes.length));
  return Float32Array.from(words, (word) => word / 32768);
}

function loud(samples) {
  const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return samples.map((value) => value / peak);
}

test("the pattern is the vectors'", () => {
  for (let row = 0; row < PERIOD; row += 1) {
    const bits = [...vectors.pattern[row]].flatMap((digit) =>
      [...Number.parseInt(digit, 16).toString(2).padStart(4, "0")].map(Number),
    );
    assert.deepEqual([...PATTERN.slice(row * 60, row * 60 + 60)], bits.map((bit) => 1 - 2 * bit));
  }
});

for (const [name, expected] of Object.entries(vectors.files)) {
  test(`${name} gives the vectors' numbers`, () => {
    const samples = samplesOf(name);
    const { score, offset } = bestOffset(read(loud(samples)), 0, samples.length / RATE, UNCHANGED);
    assert.ok(Math.abs(score - expected.score) < 0.01, `${score}`);
    assert.equal(offset, expected.offset_cells);
  });

  test(`${name} is told`, () => {
    const found = search(samplesOf(name));
    assert.equal(found.found, !["plain.wav", "secret-only.wav"].includes(name));
  });
}

test("a copy that plays faster is found, and its pace told", () => {
  const samples = samplesOf("marked.wav");
  const faster = Float32Array.from({ length: Math.floor(samples.length / 1.04) }, (_, n) => {
    const at = n * 1.04;
    const low = Math.floor(at);
    return samples[low] + (samples[low + 1] - samples[low]) * (at - low);
  });
  const { found, change } = search(faster);
  assert.ok(found);
  assert.ok(Math.abs(change.pace - 1.04) < 0.008, `${change.pace}`);
});

test("the bound is the specification's", () => {
  // Of the normal distribution's tail, from tables.
  for (const [x, tail] of [[0, 0.5], [1.4142135, 0.0786496], [3, 1.349898e-3], [6, 9.865876e-10], [10, 7.619853e-24]]) {
    assert.ok(Math.abs(Math.exp(logTail(x)) / tail - 1) < 1e-5, `${x}`);
  }
  assert.ok(bound(7.01, 256) < 1e-9);
  assert.ok(bound(7.0, 256) > 1e-9);
  assert.equal(bound(0, 128), 1);
});

test("silence and nothing have no mark", () => {
  for (const samples of [new Float32Array(0), new Float32Array(5 * RATE)]) {
    assert.deepEqual(search(samples).found, false);
    assert.equal(search(samples).chance, 1);
  }
});
