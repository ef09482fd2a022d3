/** One thing wrong with a setting. */
export interface Problem {
  name: string
  /** What is wrong: the rest of a sentence that begins with the name. Never a secret. */
  wrong: string
  /** What to set, and where it is found. */
  mend: string
}

/** Settings are missing or wrong. The message lists every problem with its mend, for people. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super(describe(problems))
    this.problems = problems
  }
}

function describe(problems: readonly Problem[]): string {
  const count = problems.length === 1 ? '1 setting is' : `${problems.length} settings are`
  const list = problems.map(({ name, wrong, mend }) => `${name} ${wrong}\n  ${mend}`)
  const end =
    'Set them in the environment, or in the file .env: `ellipsis-broker init` asks for them and writes it.'
  return [`${count} missing or invalid:`, ...list, end].join('\n\n')
}
