// Package left tells a test what a program has left behind: goroutines, sockets,
// files (G7).
package left

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

// Nothing fails the test unless soon no goroutine has one of the packages in its
// stack, fsm's included, and no connection to one of the addresses is open. Those of
// the tests themselves do not count.
func Nothing(t testing.TB, addrs, packages []string) {
	t.Helper()
	Eventually(t, "nothing left", func() string {
		if n := Sockets(t, addrs...); n > 0 {
			return fmt.Sprintf("%d sockets", n)
		}
		return Goroutine(append(slices.Clone(packages), "surestart/fsm."))
	})
}

// Sockets is how many connections to the addresses this process has open.
func Sockets(t testing.TB, addrs ...string) int {
	t.Helper()
	if len(addrs) == 0 {
		return 0
	}
	return (&testbroker.Broker{Addrs: addrs}).Sockets(t)
}

// Files is how many descriptors of this process lead to a path that begins so.
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

// Goroutine returns the stack of a goroutine that has one of the packages in it, or
// nothing. This one and the tests above it do not count, nor those that have one of
// the words in their stack.
func Goroutine(packages []string, but ...string) string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for i, g := range strings.Split(string(buf), "\n\n") {
		has := func(word string) bool { return strings.Contains(g, word) }
		if i == 0 || has("testing.(*T).Run(") || has("testing.tRunner") || slices.ContainsFunc(but, has) {
			continue
		}
		if slices.ContainsFunc(packages, has) {
			return g
		}
	}
	return ""
}

// Eventually fails the test unless check soon finds nothing.
func Eventually(t testing.TB, what string, check func() string) {
	t.Helper()
	const within = 30 * time.Second
	if found := Within(within, check); found != "" {
		t.Fatalf("%s: after %v still:\n%s", what, within, found)
	}
}

// Within waits until check finds nothing, or for so long: then it returns what was
// found last. What has let go of everything may need a moment for its last
// instructions.
func Within(limit time.Duration, check func() string) (found string) {
	for began, wait := time.Now(), 100*time.Microsecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if found = check(); found == "" || time.Since(began) > limit {
			return found
		}
		time.Sleep(wait)
	}
}
