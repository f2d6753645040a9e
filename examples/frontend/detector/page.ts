/** A file is dropped or chosen, and searched here: it never leaves this machine. */

import { RATE } from "./mark.js";
import { type Found, LEAST_SECONDS } from "./search.js";

type Told = { done: number } | { found: Found };

/** A browser holds a file's samples in memory: more than this is not tried. */
const MOST_BYTES = 512 * 1024 * 1024;

function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page holds no #${id}`);
  return found as T;
}

const area = byId("area");
const chosen = byId<HTMLInputElement>("file");
const verdict = byId("verdict");
const answer = byId("answer");
const details = byId("details");
const progress = byId<HTMLProgressElement>("progress");
let worker: Worker | null = null;
let turn = 0;

chosen.addEventListener("change", () => {
  const file = chosen.files?.[0];
  if (file) void examine(file);
  // The same file may be chosen again.
  chosen.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    area.dataset["over"] = "true";
  });
}
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) delete area.dataset["over"];
});
addEventListener("drop", (event) => {
  event.preventDefault();
  delete area.dataset["over"];
  const file = event.dataTransfer?.files[0];
  if (file) void examine(file);
});

/** Mono samples at RATE, as the browser decodes and resamples them. */
async function decode(file: File): Promise<Float32Array> {
  const decoder = new OfflineAudioContext(1, 1, RATE);
  const sound = await decoder.decodeAudioData(await file.arrayBuffer());
  const first = sound.getChannelData(0);
  if (sound.numberOfChannels === 1) return first;
  const mean = new Float32Array(sound.length);
  let apart = 0;
  for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
    sound.getChannelData(channel).forEach((value, n) => {
      mean[n]! += value / sound.numberOfChannels;
      apart += (value * value) / sound.numberOfChannels;
    });
  }
  // Where channels cancel, one says more than their mean.
  const together = mean.reduce((sum, value) => sum + value * value, 0);
  return together < 0.05 * apart ? first : mean;
}

async function examine(file: File): Promise<void> {
  turn += 1;
  const mine = turn;
  worker?.terminate();
  worker = null;
  show("busy", `Reading ${file.name} …`);
  progress.hidden = false;
  progress.removeAttribute("value");
  if (file.size > MOST_BYTES) {
    return refuse("This file is too large for a browser. Cut a few minutes out of it and drop those.");
  }
  let samples: Float32Array;
  try {
    samples = await decode(file);
  } catch {
    if (mine === turn) {
      refuse("This browser cannot read the file as sound. WAV, MP3, M4A and FLAC work in most.");
    }
    return;
  }
  if (mine !== turn) return;
  if (samples.length < LEAST_SECONDS * RATE) {
    return refuse(`The file is too short: at least ${LEAST_SECONDS} seconds are needed.`);
  }
  show("busy", `Searching ${file.name} …`);
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Told>) => {
    if ("done" in data) progress.value = data.done;
    else tell(file.name, data.found);
  });
  worker.addEventListener("error", () => refuse("The search failed. Load the page again."));
  worker.postMessage(samples, [samples.buffer]);
}

function tell(name: string, { found, score, chance, change, seconds }: Found): void {
  progress.hidden = true;
  if (found) {
    show("found", "A machine spoke this.");
    details.textContent =
      `${name} bears the public mark. By chance alone a search like this one would say so ` +
      `${odds(chance)}.${playing(change.pace)}`;
  } else {
    show("none", "No public mark was found.");
    details.textContent =
      `That proves nothing: not every machine puts it in, and it can be taken out. ` +
      `${Math.round(seconds)} s of ${name} were examined; the best score was ${score.toFixed(1)} deviations.`;
  }
}

function odds(chance: number): string {
  const power = Math.floor(-Math.log10(chance));
  return power >= 300 ? "less than once in 10^300 times" : `less than once in 10^${power} times`;
}

function playing(pace: number): string {
  if (Math.abs(pace - 1) < 0.003) return "";
  return ` It plays ${pace > 1 ? "faster" : "slower"} than it was made, at about ${pace.toFixed(2)} times.`;
}

function refuse(why: string): void {
  progress.hidden = true;
  show("refused", why);
}

function show(state: string, text: string): void {
  verdict.hidden = false;
  verdict.dataset["state"] = state;
  answer.textContent = text;
  details.textContent = "";
}
