import { spawn, spawnSync } from 'node:child_process'

/** Debian's own: the one on PATH may lack its packages. */
const PYTHON = '/usr/bin/python3'

/** Why a test that needs these modules is skipped, for tap's `skip`; `false`: they are there. */
export function without(...modules: string[]): string | false {
  const { status } = spawnSync(PYTHON, ['-c', `import ${modules.join(', ')}`])
  return (
    status !== 0 &&
    `${PYTHON} lacks ${modules.join(' or ')}: apt-get install python3-authlib python3-requests-oauthlib`
  )
}

/** Runs a program and tells `onLine` of each line that it prints; its output and exit code. */
export async function runProgram(
  command: string[],
  env: Record<string, string>,
  onLine: (line: string) => void = () => undefined,
  signal?: AbortSignal,
): Promise<{ code: number; output: string }> {
  const [program = '', ...args] = command
  const plain = {
    PATH: process.env.PATH,
    OAUTHLIB_INSECURE_TRANSPORT: '1',
    AUTHLIB_INSECURE_TRANSPORT: '1',
  }
  const child = spawn(program, args, { env: { ...plain, ...env }, signal })
  child.on('error', () => undefined)
  let output = ''
  const take = (chunk: Buffer) => {
    output += chunk.toString()
    for (const line of chunk.toString().split('\n')) onLine(line)
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
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
) => runProgram([PYTHON, '-c', source], env, onLine)
