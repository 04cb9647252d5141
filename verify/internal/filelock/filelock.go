// Package filelock lets one process at a time hold a lock.
package filelock

import (
	"context"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// Lock creates and locks the file of that name. Every other call of Lock for it waits, in this
// process or another. The lock ends with unlock, or with the process. If another holder makes Lock
// wait, it calls waiting once, unless that is nil.
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
