/** Where a client keeps its broker token: as `localStorage`, but may be asynchronous. */
export interface ClientStorage {
  getItem(key: string): string | null | Promise<string | null>
  setItem(key: string, value: string): unknown
  removeItem(key: string): unknown
}

/** Storage of this page load. */
export function memoryStorage(): ClientStorage {
  const items = new Map<string, string>()
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, value),
    removeItem: (key) => items.delete(key),
  }
}

/** The browser's storage; that of this page load if the browser refuses it. */
export function openStorage(kind: 'memory' | 'session' | 'local' | ClientStorage): ClientStorage {
  if (typeof kind === 'object') return kind
  try {
    if (kind !== 'memory') return kind === 'local' ? localStorage : sessionStorage
  } catch {
    // Cookies are blocked.
  }
  return memoryStorage()
}
