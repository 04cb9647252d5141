package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// Holders that remove the file take turns too.
func TestOneAtATime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	const holders = 20
	inside, entered := make(chan struct{}, 1), 0
	var wg sync.WaitGroup
	for i := range holders {
		wg.Go(func() {
			unlock, err := Lock(t.Context(), name, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			select {
			case inside <- struct{}{}:
			default:
				t.Error("two hold the lock at once")
				return
			}
			entered++
			for range 1000 { // let the others try
				runtime.Gosched()
			}
			<-inside
			if i%2 == 0 {
				os.Remove(name)
			}
		})
	}
	wg.Wait()
	if entered != holders {
		t.Errorf("%d of %d held the lock", entered, holders)
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), name, func() { t.Error("waiting without a holder") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := 0
	if _, err := Lock(ctx, name, func() { waited++; cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock of what is locked = %v, want context.Canceled", err)
	}
	if waited != 1 {
		t.Errorf("waiting was called %d times, want once", waited)
	}
	unlock()
	unlock, err = Lock(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
