// Files on their way to the server, two at a time.

import { ApiError, call } from "./api.js";

const AT_ONCE = 2;
const waiting = [];
let running = 0;

export function upload(file, mostBytes) {
  if (file.size > mostBytes) {
    const what = `${Math.round(file.size / 1e6)} MB are too much`;
    const remedy = `a picture may have ${Math.round(mostBytes / 1e6)} MB`;
    return Promise.reject(new ApiError(413, { what, remedy }));
  }
  return new Promise((resolve, reject) => {
    waiting.push({ file, resolve, reject });
    next();
  });
}

async function next() {
  if (running >= AT_ONCE || !waiting.length) return;
  const { file, resolve, reject } = waiting.shift();
  running += 1;
  try {
    resolve(await call("POST", "/api/images", { body: file }));
  } catch (error) {
    reject(error);
  } finally {
    running -= 1;
    next();
  }
}

export function forget(id) {
  return call("DELETE", `/api/images/${id}`).catch(() => null);
}
