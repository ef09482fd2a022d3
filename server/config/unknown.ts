import { settings } from './settings.ts'

const known = settings.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name]))

/** A warning for each variable that looks like a setting but is unknown, most likely a typo. */
export function warnOfUnknownSettings(env: NodeJS.ProcessEnv): string[] {
  return Object.keys(env)
    .filter((name) => /^(BROKER|ELLIPSIS)_/.test(name) && !known.includes(name))
    .map((name) => `${name} is not a setting${suggestion(name)}`)
}

function suggestion(name: string): string {
  const withoutSuffix = name.replace(/_FILE$/, '')
  if (known.includes(withoutSuffix)) {
    return `: ${withoutSuffix} is not a secret and cannot be read from a file.`
  }
  const nearest = known
    .map((candidate) => ({ candidate, distance: distance(name, candidate) }))
    .reduce((best, next) => (next.distance < best.distance ? next : best))
  return nearest.distance <= 3 ? `. Did you mean ${nearest.candidate}?` : ' of this version.'
}

/** Levenshtein distance. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...from].entries()) {
    let [left, diagonal] = [i + 1, i]
    const next = row.slice(1).map((above, j) => {
      left = Math.min(left + 1, above + 1, diagonal + (letter === to[j] ? 0 : 1))
      diagonal = above
      return left
    })
    row = [i + 1, ...next]
  }
  return Math.max(...row.slice(-1))
}
