package group_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// Many callers on real goroutines, while members fail and die. What the race detector finds is
// a lock that was not taken.
func TestManyCallers(t *testing.T) {
	w, a, _, c, _ := diamond(t)
	g := w.groupOf(restarting(always(0), "a", "b", "d"), fsm.WithRestart(always(0)))
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 100 {
				ctx, cancel := context.WithTimeout(background(), time.Duration(rand.IntN(500))*time.Microsecond)
				r := w.all[rand.IntN(len(w.all))]
				switch rand.IntN(8) {
				case 0:
					g.Stop(ctx)
				case 1, 2:
					if r != c || rand.IntN(4) == 0 { // its death is the group's
						r.die()
					}
				case 3:
					w.mu.Lock()
					r.fail = errBoom
					w.mu.Unlock()
				case 4: // during the restart of another
					a.die()
					r.die()
				default:
					g.Start(ctx)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	wantNil(t, "Close", ignore[*fsm.StopError](g.Close()))
	w.wantAll("down")
}
