import t from 'tap'
import { testPages } from './axe.ts'

testPages(t, 'empty')
