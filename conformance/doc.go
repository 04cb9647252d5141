// Package conformance tells which of the guarantees of a lifecycle one of your own
// has: like testing/fstest, for Start and Stop.
//
// Write your lifecycle around two hooks that the suite controls, say what it
// offers, and call [Test] from a test:
//
//	func TestLifecycle(t *testing.T) {
//		conformance.Test(t, conformance.Subject{
//			New: func(h *conformance.Hooks) conformance.Lifecycle {
//				return NewServer(h.Open, h.Release)
//			},
//			Capabilities: conformance.Idempotent | conformance.JoinsStarts | conformance.Retries,
//		})
//	}
//
// # What it does
//
// It draws schedules: who calls what and when, when a hook returns and how, whose
// context ends. It sees calls, returns and hooks only. After each it follows every
// state that the contract (tla/Abstract.tla, as an executable model that is held
// equal to TLC's graph) can be in; where none is left, a guarantee is broken. What
// the lifecycle does inside is its own business. The guarantees G1 to G15 are
// those of package fsm.
//
// The result is a [Scorecard]: for each guarantee "yes", "no" with a schedule
// from which no step can be left out, "not offered", or "not reached" where no
// schedule came to what it is about. What is broken in a situation that the
// capabilities lead to is a "no" also where the guarantee as a whole is not offered. With go test -conformance.report FILE it is also
// written as a page of HTML.
//
// # How it does it
//
// Each step of a schedule waits until nothing goes on by itself: all goroutines
// are blocked on something that only another one can change. Time is that of
// testing/synctest, and a second of it passes after each step. A lifecycle that
// holds a mutex while a hook runs never lets synctest rest: then the suite
// runs outside a bubble, reads from the goroutines' stacks that all are blocked,
// and time is real.
//
// Schedules run in a child process, which is the test's own binary, run again up to the same call of
// Test: what stands before that call in the test runs there too. So a lifecycle that
// hangs, spins or crashes is found and reported, and does not take the suite with it.
//
// # When not to use it
//
// It asks for orders of calls and hooks, one step at a time, and so not for data
// races: run your own tests with -race besides. A "yes" means that no schedule of
// those drawn broke it.
package conformance
