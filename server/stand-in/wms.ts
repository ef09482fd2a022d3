import type { Node } from './drive.ts'
import {
  contentOf,
  drawRaster,
  latitudeToWorld,
  longitudeToWorld,
  pixelCentres,
  styleIdOf,
  timestampIdOf,
} from './rasters.ts'
import type { Bounds } from './terrain/draw.ts'
import { WORLD_METRES } from './terrain/draw.ts'

const MAX_SIZE_PIXELS = 2_048

type Parameters = Record<string, string>

/** An error of WMS, sent as XML with status 200, as the standard's examples do. */
class WmsError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

interface WmsAnswer {
  type: string
  body: string | Buffer
}

/**
 * Answers a request of OGC Web Map Service 1.1.1 or 1.3.0: GetCapabilities or GetMap.
 * @param origin of this server, for the address in the capabilities
 */
export function answerWms(node: Node, query: Record<string, unknown>, origin: string): WmsAnswer {
  const parameters = lowerCaseNames(query)
  const version = parameters.version === '1.1.1' ? '1.1.1' : '1.3.0'
  try {
    return dispatch(node, { ...parameters, version }, origin)
  } catch (error) {
    if (!(error instanceof WmsError)) throw error
    return { type: 'text/xml', body: exceptionReport(version, error) }
  }
}

function dispatch(node: Node, parameters: Parameters, origin: string): WmsAnswer {
  switch (parameters.request?.toLowerCase() ?? '') {
    case 'getcapabilities':
      return { type: 'text/xml', body: capabilities(node, parameters, origin) }
    case 'getmap':
      return { type: 'image/png', body: drawMap(node, parameters) }
    default:
      throw new WmsError('OperationNotSupported', 'REQUEST must be GetCapabilities or GetMap.')
  }
}

/** Parameter names of WMS ignore case (OGC 06-042 6.8.1). */
const lowerCaseNames = (query: Record<string, unknown>): Parameters =>
  Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name.toLowerCase(), String(value)]),
  )

/** The name of the only layer, after what users' code shows: timestamp and style (I). */
const layerName = (node: Node) => `${timestampIdOf(node)}_${styleIdOf(node)}`

function drawMap(node: Node, parameters: Parameters): Buffer {
  const { layers, format = 'image/png' } = parameters
  if (layers !== layerName(node)) throw new WmsError('LayerNotDefined', 'Unknown layer.')
  if (format.toLowerCase() !== 'image/png') {
    throw new WmsError('InvalidFormat', 'FORMAT must be image/png.')
  }
  const width = readSize(parameters.width)
  const height = readSize(parameters.height)
  const { srs, box } = readBox(parameters)
  const eastward = pixelCentres(box.xMin, box.xMax, width)
  const southward = pixelCentres(box.yMax, box.yMin, height)
  const half = WORLD_METRES / 2
  return srs === 'EPSG:4326'
    ? drawRaster(node, eastward.map(longitudeToWorld), southward.map(latitudeToWorld))
    : drawRaster(
        node,
        eastward.map((metres) => (metres + half) / WORLD_METRES),
        southward.map((metres) => (half - metres) / WORLD_METRES),
      )
}

function readSize(text: string | undefined): number {
  const size = Number(text)
  if (Number.isInteger(size) && size >= 1 && size <= MAX_SIZE_PIXELS) return size
  throw new WmsError('InvalidParameterValue', `WIDTH and HEIGHT must be 1 to ${MAX_SIZE_PIXELS}.`)
}

/** The reference system, and the box with x to the east, in its unit. */
function readBox({ version, srs, crs, bbox = '' }: Parameters): { srs: string; box: Bounds } {
  const system = (version === '1.3.0' ? crs : srs)?.toUpperCase()
  if (system !== 'EPSG:3857' && system !== 'EPSG:4326') {
    throw new WmsError('InvalidSRS', 'The reference system must be EPSG:3857 or EPSG:4326.')
  }
  const [a, b, c, d, ...more] = bbox.split(',').map((part) => (part === '' ? NaN : Number(part)))
  // WMS 1.3.0 takes the order of axes from the reference system: latitude first in EPSG:4326.
  const isLatitudeFirst = version === '1.3.0' && system === 'EPSG:4326'
  const box = isLatitudeFirst
    ? { xMin: b!, yMin: a!, xMax: d!, yMax: c! }
    : { xMin: a!, yMin: b!, xMax: c!, yMax: d! }
  const isValid = more.length === 0 && box.xMin < box.xMax && box.yMin < box.yMax
  const isFinite = Object.values(box).every(Number.isFinite)
  if (isValid && isFinite) return { srs: system, box }
  throw new WmsError('InvalidParameterValue', 'BBOX must be minx,miny,maxx,maxy.')
}

function exceptionReport(version: string, { code, message }: WmsError): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<ServiceExceptionReport version="${version}">
  <ServiceException code="${code === 'InvalidSRS' && version === '1.3.0' ? 'InvalidCRS' : code}">${message}</ServiceException>
</ServiceExceptionReport>`
}

/**
 * The service's description. Its address repeats a token that came in the URL, without which GDAL
 * and QGIS could not fetch maps. Whether the service does so is unknown.
 */
function capabilities(node: Node, { version, token }: Parameters, origin: string): string {
  const query = token === undefined ? '' : `token=${encodeURIComponent(token)}&`
  const address = escapeXml(`${origin}/v3/ogc/wms/${node.id}?${query}`)
  const online = `<OnlineResource xmlns:xlink="http://www.w3.org/1999/xlink" xlink:type="simple" xlink:href="${address}"/>`
  const operation = (name: string, format: string) =>
    `<${name}><Format>${format}</Format><DCPType><HTTP><Get>${online}</Get></HTTP></DCPType></${name}>`
  const root = version === '1.3.0' ? 'WMS_Capabilities' : 'WMT_MS_Capabilities'
  const namespace = version === '1.3.0' ? ' xmlns="http://www.opengis.net/wms"' : ''
  return `<?xml version="1.0" encoding="UTF-8"?>
<${root} version="${version}"${namespace}>
  <Service>
    <Name>${version === '1.3.0' ? 'WMS' : 'OGC:WMS'}</Name>
    <Title>${escapeXml(node.item.name)}</Title>
    ${online}
  </Service>
  <Capability>
    <Request>${operation('GetCapabilities', 'text/xml')}${operation('GetMap', 'image/png')}</Request>
    <Exception><Format>${version === '1.3.0' ? 'XML' : 'application/vnd.ogc.se_xml'}</Format></Exception>
    ${layer(node, version === '1.3.0')}
  </Capability>
</${root}>`
}

function layer(node: Node, isNew: boolean): string {
  const { extent } = contentOf(node)
  const { xMin, xMax, yMin, yMax } = extent
  const west = (longitudeToWorld(xMin) - 0.5) * WORLD_METRES
  const east = (longitudeToWorld(xMax) - 0.5) * WORLD_METRES
  const south = (0.5 - latitudeToWorld(yMin)) * WORLD_METRES
  const north = (0.5 - latitudeToWorld(yMax)) * WORLD_METRES
  const system = isNew ? 'CRS' : 'SRS'
  const box = (name: string, [minx, miny, maxx, maxy]: number[]) =>
    `<BoundingBox ${system}="${name}" minx="${minx}" miny="${miny}" maxx="${maxx}" maxy="${maxy}"/>`
  const degrees = isNew
    ? `<EX_GeographicBoundingBox><westBoundLongitude>${xMin}</westBoundLongitude><eastBoundLongitude>${xMax}</eastBoundLongitude><southBoundLatitude>${yMin}</southBoundLatitude><northBoundLatitude>${yMax}</northBoundLatitude></EX_GeographicBoundingBox>`
    : `<LatLonBoundingBox minx="${xMin}" miny="${yMin}" maxx="${xMax}" maxy="${yMax}"/>`
  const title = escapeXml(node.item.name)
  return `<Layer queryable="0">
      <Name>${layerName(node)}</Name>
      <Title>${title}</Title>
      <${system}>EPSG:3857</${system}><${system}>EPSG:4326</${system}>
      ${degrees}
      ${box('EPSG:3857', [west, south, east, north])}
      ${box('EPSG:4326', isNew ? [yMin, xMin, yMax, xMax] : [xMin, yMin, xMax, yMax])}
      <Style><Name>default</Name><Title>${title}</Title></Style>
    </Layer>`
}

const escapeXml = (text: string) =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
