// Package filelock makes processes take turns.
package filelock

import (
	"context"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// Lock locks the file of that name, which it creates, against every other call of
// Lock in this process or another. The lock ends with unlock, or with the process.
// waiting, which may be nil, is called once if another holder makes Lock wait.
//
// The holder may remove the file before unlock.
func Lock(ctx context.Context, name string, waiting func()) (unlock func(), err error) {
	lock := flock.New(name, flock.SetPermissions(0o666))
	for {
		locked, err := lock.TryLock()
		if err == nil && !locked {
			if waiting != nil {
				waiting()
				waiting = nil
			}
			_, err = lock.TryLockContext(ctx, 20*time.Millisecond)
		}
		if err != nil {
			return nil, err
		}
		opened, err := lock.Stat()
		if named, gone := os.Stat(name); err == nil && gone == nil && os.SameFile(opened, named) {
			return func() { lock.Close() }, nil
		}
		if err := lock.Close(); err != nil { // of a file that its holder removed: there is another one, or none
			return nil, err
		}
	}
}
