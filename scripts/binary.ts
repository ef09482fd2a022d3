import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'

/**
 * Puts a bundle and assets (paths by name) into a copy of the Node that runs this.
 * @param execArgv Node's own options
 */
export function makeBinary(
  main: string,
  output: string,
  assets: Record<string, string>,
  execArgv: string[] = [],
): void {
  const file = `${output}.sea.json`
  const settings = {
    main,
    mainFormat: 'module',
    output,
    disableExperimentalSEAWarning: true,
    execArgv,
    assets,
  }
  writeFileSync(file, JSON.stringify(settings, null, 2))
  rmSync(output, { force: true })
  execFileSync(process.execPath, ['--build-sea', file], { stdio: ['ignore', 'ignore', 'inherit'] })
  rmSync(file)
  // macOS runs nothing on ARM whose signature doesn't hold; a release is signed with a real identity.
  /* c8 ignore next -- on macOS alone */
  if (process.platform === 'darwin') execFileSync('codesign', ['--force', '--sign', '-', output])
}
