/** Searches beside the page, so that it stays alive meanwhile. */

import { search } from "./search.js";

addEventListener("message", ({ data }: MessageEvent<Float32Array>) => {
  const found = search(data, (done) => postMessage({ done }));
  postMessage({ found });
});
