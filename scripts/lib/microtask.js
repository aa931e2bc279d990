// In place of workerd's queueMicrotask, which takes many times as long as a promise. wasm-bindgen calls it for every step of a future.

export const queueMicrotask = (task) => void Promise.resolve().then(task);
