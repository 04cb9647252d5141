// Package conformance finds out which of the guarantees G1 to G15 of package fsm your own lifecycle
// keeps, as testing/fstest checks a file system.
//
// Build your lifecycle with the two hooks, open and release, that the suite passes in. Declare its
// capabilities, and call [Test] from a test:
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
// The suite generates random schedules: which caller calls which method, when and how a hook returns, which
// context ends. It observes only calls, returns and hooks. After each of them it computes every
// state that the contract allows. The contract is tla/Abstract.tla as Go code; tests compare it
// with the graph of the model checker, TLC. If no state is possible, a guarantee is broken.
//
// The result is a [Scorecard] with a verdict for each guarantee: "yes"; "no", with a minimal
// schedule; "not offered"; or "not reached", if the premise of the guarantee held in no schedule.
// A guarantee that any schedule breaks gets "no", even if you have not declared every capability
// that is needed to test it in full. With the flag -conformance.report FILE, the test also writes the
// scorecards to an HTML page.
//
// # How it works
//
// Each step waits until every goroutine is blocked. Time is synctest's fake clock; one second
// passes after each step. If a lifecycle holds a mutex while a hook runs, synctest never counts the
// goroutines that wait for the mutex as blocked. Such a lifecycle runs outside a synctest bubble,
// in real time. The suite then reads from the stacks whether every goroutine is blocked.
//
// Schedules run in a child process: the child runs your test up to the same call of Test, so the
// code before that call runs there, too. The suite thus finds and reports a lifecycle that hangs,
// spins or crashes, and continues.
//
// # When not to use it
//
// The suite tests orders of calls and hooks, one step at a time. It finds no data races: run your
// own tests with -race as well. A "yes" means that no schedule of the run broke the guarantee.
package conformance
