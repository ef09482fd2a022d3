import t from 'tap'
import { deviceLabel, programLabel } from '../../server/connections/device-label.ts'

t.test('a device is named by browser and system', async (t) => {
  const cases: [string | undefined, string][] = [
    ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Firefox on Linux'],
    [
      'Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Mobile Safari/537.36',
      'Chrome on Android',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile Safari/604.1',
      'Safari on iOS',
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36 Edg/150.0',
      'Edge on Windows',
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 15_0) Chrome/150.0 Safari/537.36 OPR/120',
      'Opera on macOS',
    ],
    [
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/150.0 Safari/537.36',
      'Chrome on Linux',
    ],
    ['curl/8.0', 'Unknown browser'],
    [undefined, 'Unknown browser'],
  ]
  for (const [agent, label] of cases) t.equal(deviceLabel(agent), label)
})

t.test('a program without a browser is named by its product', async (t) => {
  const cases: [string | undefined, string][] = [
    ['curl/8.0', 'A device (curl)'],
    ['node', 'A device (node)'],
    ['<b>', 'A device'],
    ['', 'A device'],
    [undefined, 'A device'],
    ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko Firefox/140.0', 'Firefox on Linux'],
  ]
  for (const [agent, label] of cases) t.equal(programLabel(agent), label)
})
