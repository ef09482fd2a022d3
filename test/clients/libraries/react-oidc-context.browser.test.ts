import t from 'tap'
import { noBrowser } from '../../browser/chromium.ts'
import { testExample } from './page.ts'

t.test('react-oidc-context, as docs/connect/browser.md configures it', { skip: noBrowser }, (t) =>
  testExample(t, { language: 'jsx' }),
)
