/** The public mark as docs/public-mark.md specifies it: its pattern, and its cells read from sound. */

/** Samples a second that the reading is made for. */
export const RATE = 24_000;
/** Cells of time until the pattern begins again. */
export const PERIOD = 32;
export const BANDS = 60;
export const CELL_SECONDS = 2048 / 24_000;

const LOWEST_HZ = 292.96875;
const BAND_HZ = 93.75;
const HOP = 512;
const FRAME = 2048;
const GRID = 260;
const GRID_HZ = BAND_HZ / 4;
const GRID_START = LOWEST_HZ / 1.07;
/** Frames a second of a reading. */
export const FRAMES_A_SECOND = RATE / HOP;

/** SHAKE-256 of "public mark 1: a machine spoke this", 60 of every 64 bits, lowest band first. */
const ROWS =
  "196d1be50d324d63774132ffc5b3c666bacf223d3d9d82f948c8d1b0390e89c428fd71b70ecd4bf7f7c9b5c8eb" +
  "e4ccd6048a75f902896e8723821a3feaf0403af7d2a0a9cfe8bb4e4334560798e667fbd0971c6729a3135d38f0" +
  "a1486311f852e28ac731441633db11d67058cc6a78306d563ffe6bb5c1de61672887878eb838d8ef6ce095d731" +
  "cb58c296ed07ac26b52951a58f8d4543030f107e4737e179752797bf26c3c80495da02a803049cccc7c1955ce1" +
  "90dbb8b0c3e336b8c7f430b2f214cbc10e96f7c8b4b949756f6fe8e2dd48c2a9db7bc721acd7df58ecce929bd9" +
  "e5ff21fc2e8989425f3e6fa9e175ab";

/** The pattern's signs, cell after cell, the lowest band first: PERIOD × BANDS. */
export const PATTERN: Int8Array = signs();

function signs(): Int8Array {
  const pattern = new Int8Array(PERIOD * BANDS);
  for (let digit = 0; digit < ROWS.length; digit += 1) {
    const value = Number.parseInt(ROWS[digit] ?? "", 16);
    for (let bit = 0; bit < 4; bit += 1) pattern[4 * digit + bit] = (value >> (3 - bit)) & 1 ? -1 : 1;
  }
  return pattern;
}

/** Readings of sound, `frames` rows of GRID numbers. */
export interface Reading {
  readonly values: Float32Array;
  readonly frames: number;
}

/** Fourier transform of a power of two of complex numbers, in place. */
function transform(re: Float64Array, im: Float64Array): void {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i += 1) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j]!, re[i]!];
      [im[i], im[j]] = [im[j]!, im[i]!];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    const stride = FRAME / size;
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < half; k += 1) {
        const cos = COS[k * stride]!;
        const sin = -SIN[k * stride]!;
        const a = start + k;
        const b = a + half;
        const x = re[b]! * cos - im[b]! * sin;
        const y = re[b]! * sin + im[b]! * cos;
        re[b] = re[a]! - x;
        im[b] = im[a]! - y;
        re[a] = re[a]! + x;
        im[a] = im[a]! + y;
      }
    }
  }
}

const COS = Float64Array.from({ length: FRAME }, (_, n) => Math.cos((2 * Math.PI * n) / FRAME));
const SIN = Float64Array.from({ length: FRAME }, (_, n) => Math.sin((2 * Math.PI * n) / FRAME));

/** For each grid point the first bin that counts, and the weights of it and those after. */
const BINS = Array.from({ length: GRID }, (_, j) => {
  const low = GRID_START + GRID_HZ * j - BAND_HZ / 2;
  const share = (hertz: number) => Math.min(Math.max((hertz - low) / BAND_HZ, 0), 1);
  const binHz = RATE / FRAME;
  const first = Math.max(Math.floor(low / binHz + 0.5), 0);
  const last = Math.floor((low + BAND_HZ) / binHz + 0.5);
  const weights = Array.from(
    { length: last - first + 1 },
    (_, k) => share((first + k + 0.5) * binHz) - share((first + k - 0.5) * binHz),
  );
  return { first, weights };
});

/** The logarithm of the level at each grid point of each frame. */
function levels(samples: Float32Array): Reading {
  const frames = Math.floor(samples.length / HOP) + 1;
  const values = new Float32Array(frames * GRID);
  const re = new Float64Array(FRAME);
  const im = new Float64Array(FRAME);
  const magnitude = new Float64Array(FRAME / 2 + 1);
  // Two frames of real numbers are one of complex ones.
  for (let pair = 0; pair < frames; pair += 2) {
    for (let n = 0; n < FRAME; n += 1) {
      const at = pair * HOP - FRAME / 2 + n;
      const window = 0.5 - 0.5 * COS[n]!;
      re[n] = (samples[at] ?? 0) * window;
      im[n] = (samples[at + HOP] ?? 0) * window;
    }
    transform(re, im);
    for (const second of [0, 1]) {
      const frame = pair + second;
      if (frame === frames) break;
      for (let k = 0; k <= FRAME / 2; k += 1) {
        const m = (FRAME - k) % FRAME;
        const [x, y] = second
          ? [im[k]! + im[m]!, re[m]! - re[k]!]
          : [re[k]! + re[m]!, im[k]! - im[m]!];
        magnitude[k] = Math.hypot(x, y) / 2;
      }
      for (let j = 0; j < GRID; j += 1) {
        const { first, weights } = BINS[j]!;
        let sum = 0;
        for (let k = 0; k < weights.length; k += 1) sum += weights[k]! * magnitude[first + k]!;
        values[frame * GRID + j] = Math.log(sum + 1e-7);
      }
    }
  }
  return { values, frames };
}

/** Running means along a line of numbers: of `size` values, from `size / 2` before each on. */
function running(line: Float64Array, size: number, mirrored: boolean): Float64Array {
  const n = line.length;
  const at = (i: number): number => {
    if (!mirrored) return line[Math.min(Math.max(i, 0), n - 1)]!;
    const turn = ((i % (2 * n)) + 2 * n) % (2 * n);
    return line[turn < n ? turn : 2 * n - 1 - turn]!;
  };
  const means = new Float64Array(n);
  let sum = 0;
  for (let i = -size / 2; i < size / 2; i += 1) sum += at(i);
  for (let i = 0; i < n; i += 1) {
    means[i] = sum / size;
    sum += at(i + size / 2) - at(i - size / 2);
  }
  return means;
}

function alongBands(field: Reading, size: number): Reading {
  const values = new Float32Array(field.values.length);
  for (let i = 0; i < field.frames; i += 1) {
    const row = Float64Array.from(field.values.subarray(i * GRID, (i + 1) * GRID));
    values.set(running(row, size, false), i * GRID);
  }
  return { values, frames: field.frames };
}

function alongTime(field: Reading, size: number, mirrored: boolean): Reading {
  const values = new Float32Array(field.values.length);
  const column = new Float64Array(field.frames);
  for (let j = 0; j < GRID; j += 1) {
    for (let i = 0; i < field.frames; i += 1) column[i] = field.values[i * GRID + j]!;
    const means = running(column, size, mirrored);
    for (let i = 0; i < field.frames; i += 1) values[i * GRID + j] = means[i]!;
  }
  return { values, frames: field.frames };
}

/** The value below which a share of numbers lies, interpolated linearly. */
function quantile(numbers: Float64Array, share: number): number {
  const sorted = numbers.slice().sort();
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const below = sorted[low]!;
  return below + (at - low) * ((sorted[low + 1] ?? below) - below);
}

/** Read sound, mono at RATE, its peak 1. */
export function read(samples: Float32Array): Reading {
  const level = levels(samples);
  const { frames } = level;
  const around = alongBands(level, 16).values;
  const differences = { values: level.values.map((v, n) => v - around[n]!), frames };
  const apart = alongTime(differences, 4, true).values;
  const held = alongTime(level, 4, false).values;
  const squares = { values: apart.map((v) => v * v), frames };
  const spread = alongBands(alongTime(squares, 4, false), 20).values;
  const values = new Float32Array(apart.length);
  const column = new Float64Array(frames);
  for (let j = 0; j < GRID; j += 1) {
    for (let i = 0; i < frames; i += 1) column[i] = held[i * GRID + j]!;
    const floor = quantile(column, 0.08) + 0.2;
    for (let i = 0; i < frames; i += 1) {
      const n = i * GRID + j;
      const weight = (1 - Math.exp(-2 * Math.max(held[n]! - floor, 0))) ** 1.5;
      const deviation = Math.sqrt(Math.max(spread[n]!, 0)) + 0.01;
      const clipped = Math.min(Math.max(apart[n]! / deviation, -2), 2);
      values[n] = (clipped * weight) / (deviation + 0.3);
    }
  }
  return { values, frames };
}

/** Where bands are read, in sound whose pitch was multiplied: a grid point and the way to the next. */
export interface Points {
  readonly low: Int32Array;
  readonly across: Float64Array;
}

export function pointsAt(pitch: number): Points {
  const low = new Int32Array(BANDS);
  const across = new Float64Array(BANDS);
  for (let band = 0; band < BANDS; band += 1) {
    const point = ((LOWEST_HZ + (band + 0.5) * BAND_HZ) * pitch - GRID_START) / GRID_HZ;
    low[band] = Math.min(Math.max(Math.floor(point), 0), GRID - 2);
    across[band] = point - low[band]!;
  }
  return { low, across };
}

/** Add the readings of all bands at a fractional frame to BANDS numbers from `first` on. */
export function addCells(
  { values, frames }: Reading,
  frame: number,
  { low, across }: Points,
  sums: Float64Array,
  first: number,
): void {
  const row = Math.min(Math.max(Math.floor(frame), 0), Math.max(frames - 2, 0));
  const along = Math.min(Math.max(frame - row, 0), 1);
  const here = row * GRID;
  const next = Math.min(row + 1, frames - 1) * GRID;
  for (let band = 0; band < BANDS; band += 1) {
    const j = low[band]!;
    const part = across[band]!;
    const one = values[here + j]! * (1 - part) + values[here + j + 1]! * part;
    const other = values[next + j]! * (1 - part) + values[next + j + 1]! * part;
    sums[first + band]! += one + (other - one) * along;
  }
}

/** How much each frame says. */
export function power(reading: Reading): Float64Array {
  const sums = new Float64Array(reading.frames);
  for (let n = 0; n < reading.values.length; n += 1) {
    sums[Math.floor(n / GRID)]! += reading.values[n]! ** 2;
  }
  return sums;
}
