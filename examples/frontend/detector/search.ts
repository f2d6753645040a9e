/** The search for the public mark, and how sure it is. */

import {
  BANDS,
  CELL_SECONDS,
  FRAMES_A_SECOND,
  PATTERN,
  PERIOD,
  RATE,
  type Reading,
  addCells,
  pointsAt,
  power,
  read,
} from "./mark.js";

/** The probability of a false hit that a search may have at most. */
export const ALLOWED = 1e-9;
/** Shorter sound is not searched. */
export const LEAST_SECONDS = 2;

const PHASES = 4;
const OFFSETS = PERIOD * PHASES;
const CHUNK_SECONDS = 30;
const LAST_SECONDS = 40;
const STRETCH_SECONDS = 12;
const SILENCE = 1e-5;
const LISTENING = [0.75, 0.8, 0.85, 0.9, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 1.75, 2];

/** How sound may have been changed: how much faster it plays, how much higher it sounds. */
export interface Change {
  readonly pace: number;
  readonly pitch: number;
}

/** The pattern twice over, so that every offset of it is in one piece. */
const TWICE = Float64Array.from([...PATTERN, ...PATTERN]);
const UNCHANGED: Change = { pace: 1, pitch: 1 };
const SMALL = Array.from({ length: 31 }, (_, k) => 1 + 0.004 * (k - 15)).filter((p) => p !== 1);
const RATES = LISTENING.flatMap((rate) => [-1, 0, 1].map((step) => rate * (1 + 0.004 * step)));
export const CHANGES: readonly Change[] = [
  ...[...SMALL, ...RATES].map((pace) => ({ pace, pitch: 1 })),
  ...SMALL.map((pace) => ({ pace, pitch: pace })),
];

export interface Found {
  /** Whether the mark is there with a chance of error within what is allowed. */
  readonly found: boolean;
  /** The best score, in standard deviations. */
  readonly score: number;
  /** At most this often would a search like this one give such a score by chance. */
  readonly chance: number;
  readonly change: Change;
  /** Of sound that was examined. */
  readonly seconds: number;
}

/** The best score of a stretch over all offsets, and in which cell of the period it begins. */
export function bestOffset(
  reading: Reading,
  begin: number,
  end: number,
  { pace, pitch }: Change,
): { score: number; offset: number } {
  const cell = CELL_SECONDS / pace;
  const count = Math.floor((end - begin) / cell);
  const points = pointsAt(pitch);
  let best = { score: 0, offset: 0 };
  for (let phase = 0; phase < PHASES; phase += 1) {
    const shift = phase / PHASES;
    const folded = new Float64Array(PERIOD * BANDS);
    for (let k = 0; k < count; k += 1) {
      const frame = (begin + (k + shift + 0.5) * cell) * FRAMES_A_SECOND;
      addCells(reading, frame, points, folded, (k % PERIOD) * BANDS);
    }
    const norm = Math.sqrt(folded.reduce((sum, value) => sum + value * value, 0)) + 1e-6;
    for (let offset = 0; offset < PERIOD; offset += 1) {
      let sum = 0;
      const from = offset * BANDS;
      for (let n = 0; n < folded.length; n += 1) sum += folded[n]! * TWICE[n + from]!;
      if (sum / norm > best.score) {
        best = { score: sum / norm, offset: (offset - shift + PERIOD) % PERIOD };
      }
    }
  }
  return best;
}

/** The logarithm of the normal distribution's upper tail, right to a millionth and never too low. */
export function logTail(x: number): number {
  if (x < 5) {
    // By Simpson's rule, from x to where nothing is left.
    const steps = 4000;
    const width = (40 - x) / steps;
    let sum = 0;
    for (let k = 0; k <= steps; k += 1) {
      const weight = k === 0 || k === steps ? 1 : k % 2 ? 4 : 2;
      sum += weight * Math.exp(-((x + k * width) ** 2) / 2);
    }
    return Math.log((sum * width) / 3 / Math.sqrt(2 * Math.PI));
  }
  // Laplace's continued fraction.
  let fraction = x;
  for (let k = 60; k > 0; k -= 1) fraction = x + k / fraction;
  return (-x * x) / 2 - Math.log(fraction * Math.sqrt(2 * Math.PI));
}

/** The most that the chance can be of any of so many scores reaching one by chance. */
export function bound(score: number, scores: number): number {
  const factor = -Math.log(4) - logTail(Math.SQRT2);
  return Math.exp(Math.min(factor + logTail(score) + Math.log(scores), 0));
}

/** Where the stretch begins that says most, in seconds. */
function liveliest(sums: Float64Array, seconds: number): number {
  const frames = Math.max(Math.floor(seconds * FRAMES_A_SECOND), 1);
  let sum = 0;
  let best = { sum: -1, first: 0 };
  for (let i = 0; i < sums.length; i += 1) {
    sum += sums[i]! - (sums[i - frames] ?? 0);
    if (i >= frames - 1 && sum > best.sum) best = { sum, first: i - frames + 1 };
  }
  return best.first / FRAMES_A_SECOND;
}

/** Look for the mark in mono sound at RATE. `tell` is told which share is done. */
export function search(samples: Float32Array, tell: (done: number) => void = () => {}): Found {
  const best = [
    { score: 0, change: UNCHANGED },
    { score: 0, change: UNCHANGED },
  ] as [{ score: number; change: Change }, { score: number; change: Change }];
  let searched = 0;
  const chanceOf = (changed: 0 | 1): number => {
    const compared = OFFSETS * searched * (changed ? CHANGES.length : 1);
    return searched ? bound(best[changed].score, 2 * compared) : 1;
  };
  for (let first = 0; first < samples.length; ) {
    const rest = samples.length - first;
    const length = rest <= LAST_SECONDS * RATE ? rest : CHUNK_SECONDS * RATE;
    const chunk = samples.slice(first, first + length);
    first += length;
    const peak = chunk.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (peak >= SILENCE && length >= LEAST_SECONDS * RATE) {
      searched += 1;
      const reading = read(chunk.map((value) => value / peak));
      const seconds = length / RATE;
      const here = bestOffset(reading, 0, seconds, UNCHANGED).score;
      if (here > best[0].score) best[0] = { score: here, change: UNCHANGED };
      if (chanceOf(0) > ALLOWED) {
        const sums = power(reading);
        for (const change of CHANGES) {
          const stretch = Math.min(STRETCH_SECONDS / change.pace, seconds);
          const begin = liveliest(sums, stretch);
          const { score } = bestOffset(reading, begin, begin + stretch, change);
          if (score > best[1].score) best[1] = { score, change };
        }
      }
    }
    tell(first / samples.length);
  }
  const changed = chanceOf(1) < chanceOf(0) ? 1 : 0;
  const chance = chanceOf(changed);
  return {
    found: chance <= ALLOWED,
    chance,
    ...best[changed],
    seconds: samples.length / RATE,
  };
}
