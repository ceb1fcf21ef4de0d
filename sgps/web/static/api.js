// Calls of the HTTP API: the content of the answer, or an ApiError in plain words.

export class ApiError extends Error {
  constructor(status, { what, expected = "", remedy = "" }) {
    super([what, expected && `expected ${expected}`, remedy].filter(Boolean).join("; "));
    this.status = status;
  }
}

function silence() {
  return new ApiError(0, { what: "the server does not answer", remedy: "see whether it runs, then try again" });
}

export async function call(method, path, { json, body, headers, signal } = {}) {
  const options = { method, signal, headers: { ...headers }, credentials: "same-origin", redirect: "error" };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers["Content-Type"] = "application/json";
  } else if (body !== undefined) {
    options.body = body;
    options.headers["Content-Type"] = "application/octet-stream";
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw silence();
  }
  if (answer.status === 204) return null;
  let content;
  try {
    content = await answer.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw silence();
    throw new ApiError(answer.status, { what: `the server answered ${answer.status}` });
  }
  if (!answer.ok && content.error) {
    throw new ApiError(answer.status, content.error);
  }
  return content;
}
