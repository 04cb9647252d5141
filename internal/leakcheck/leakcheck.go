// Package leakcheck finds what a program has leaked: goroutines, sockets, files (G7).
package leakcheck

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Nothing waits until no goroutine has one of the packages, or fsm, in its stack, and no
// connection to one of the addresses is open. It fails the test if that takes too long.
// Goroutines of the tests themselves do not count.
func Nothing(t testing.TB, addrs, packages []string) {
	t.Helper()
	Eventually(t, "nothing left", func() string {
		if n := Sockets(t, addrs...); n > 0 {
			return fmt.Sprintf("%d sockets", n)
		}
		return Goroutine(append(slices.Clone(packages), "surestart/fsm."))
	})
}

// Sockets returns how many connections to the addresses this process has open.
func Sockets(t testing.TB, addrs ...string) int {
	t.Helper()
	if len(addrs) == 0 {
		return 0
	}
	return (&testbroker.Broker{Addrs: addrs}).Sockets(t)
}

// Files returns how many file descriptors of this process lead to a path with that prefix.
func Files(t testing.TB, prefix string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		testbroker.Missing(t, "/proc/self/fd, to count open files: "+err.Error())
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, prefix) {
			n++
		}
	}
	return n
}

// Goroutine returns the stack of a goroutine that has one of the packages in it, or "".
// Not counted are the calling goroutine, goroutines that run tests, and those that have
// one of the words of except in their stack.
func Goroutine(packages []string, except ...string) string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for i, g := range strings.Split(string(buf), "\n\n") {
		has := func(word string) bool { return strings.Contains(g, word) }
		if i == 0 || has("testing.(*T).Run(") || has("testing.tRunner") || slices.ContainsFunc(except, has) {
			continue
		}
		if slices.ContainsFunc(packages, has) {
			return g
		}
	}
	return ""
}

// Eventually waits until check returns "". It fails the test after 30 seconds.
func Eventually(t testing.TB, what string, check func() string) {
	t.Helper()
	const within = 30 * time.Second
	if found := Within(within, check); found != "" {
		t.Fatalf("%s: after %v still:\n%s", what, within, found)
	}
}

// Within waits until check returns "", or until limit has passed. It returns the last
// result of check. Code that has released everything may need a moment to end.
func Within(limit time.Duration, check func() string) (found string) {
	for began, wait := time.Now(), 100*time.Microsecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if found = check(); found == "" || time.Since(began) > limit {
			return found
		}
		time.Sleep(wait)
	}
}
