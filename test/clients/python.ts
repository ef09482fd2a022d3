import { spawn, spawnSync } from 'node:child_process'

/** Debian's Python: another one on PATH may lack Debian's packages. */
export const PYTHON = '/usr/bin/python3'

/** For tap's `skip`: the reason if one of the modules is missing, otherwise `false`. */
export function without(...modules: string[]): string | false {
  const { status } = spawnSync(PYTHON, ['-c', `import ${modules.join(', ')}`])
  return (
    status !== 0 &&
    `${PYTHON} lacks ${modules.join(' or ')}: apt-get install python3-authlib python3-flask python3-requests-oauthlib`
  )
}

/** Runs a program, and calls `onLine` for each line that it prints. Returns its output and exit code. */
export async function runProgram(
  command: string[],
  env: Record<string, string>,
  onLine: (line: string) => void = () => undefined,
  options: { signal?: AbortSignal; cwd?: string } = {},
): Promise<{ code: number; output: string }> {
  const [program = '', ...args] = command
  const baseEnv = {
    PATH: process.env.PATH,
    OAUTHLIB_INSECURE_TRANSPORT: '1',
    AUTHLIB_INSECURE_TRANSPORT: '1',
  }
  const child = spawn(program, args, { env: { ...baseEnv, ...env }, ...options })
  child.on('error', () => undefined)
  let output = ''
  const onData = (chunk: Buffer) => {
    output += chunk.toString()
    for (const line of chunk.toString().split('\n')) onLine(line)
  }
  child.stdout.on('data', onData)
  child.stderr.on('data', onData)
  const code = await new Promise<number>((resolve) =>
    child.on('close', (code) => resolve(code ?? 1)),
  )
  return { code, output }
}

/** Runs Python source. */
export const runPython = (
  source: string,
  env: Record<string, string>,
  onLine?: (line: string) => void,
  signal?: AbortSignal,
) => runProgram([PYTHON, '-c', source], env, onLine, signal && { signal })
