import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { TestStandIn } from './helper.ts'
import { accessToken, get } from './helper.ts'

const ALL_TYPES = '["raster","vector","folder","file","pointCloud","bookmark"]'

/** A token of the user, and the path of that name at the top of the user's drive. */
export async function openPath(running: TestStandIn, name: string, username = 'amelie') {
  const token = await accessToken(running, username)
  const query = new URLSearchParams({ type: ALL_TYPES, token })
  const { body } = await get(`${running.apiUrl}/account/root/myDrive?${query}`)
  const path = body.result.find((candidate: { name: string }) => candidate.name === name)
  return { token, path, id: path.id as string }
}

/** The address of a raster's tiles, without zoom level, x and y. */
export async function openRaster(running: TestStandIn, name: string) {
  const { token, path, id } = await openPath(running, name)
  const timestampId = path.raster.timestamps[0].id as string
  const tiles = `${running.apiUrl}/path/${id}/raster/timestamp/${timestampId}/tile`
  return { token, path, id, timestampId, tiles }
}

/** Runs a program of GDAL. Its standard output, and standard error. */
export async function gdal(program: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, args)
  return stdout + stderr
}

export const hasGdal = await gdal('gdalinfo', '--version').then(
  () => true,
  () => false,
)
