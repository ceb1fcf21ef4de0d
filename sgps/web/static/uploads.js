// Files on their way to the server, two at a time.

import { ApiError, call } from "./api.js";

const AT_ONCE = 2;
const waiting = [];
let running = 0;

export function upload(file, mostBytes) {
  if (file.size > mostBytes) {
    return Promise.reject(new ApiError(413, tooLarge(file.size, mostBytes)));
  }
  return new Promise((resolve, reject) => {
    waiting.push({ file, resolve, reject });
    next();
  });
}

// With one decimal, and never the same number for a file that is too large as for the limit.
function tooLarge(size, mostBytes) {
  const most = Math.floor(mostBytes / 1e5);
  const tenths = Math.max(Math.round(size / 1e5), most + 1);
  return { what: `${tenths / 10} MB are too much`, remedy: `a picture may have ${most / 10} MB` };
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
