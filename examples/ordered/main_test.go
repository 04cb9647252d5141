package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/fsm"
)

func TestInOrder(t *testing.T) {
	for _, c := range []struct{ fail, want, part string }{
		{"", "open disk, open store, open service, close service, close store, close disk", ""},
		{"store", "open disk, close disk", "store"}, // the one in the middle
		{"disk", "", "disk"},
	} {
		var log strings.Builder
		err := run(&log, c.fail)
		if got := strings.ReplaceAll(strings.TrimSpace(log.String()), "\n", ", "); got != c.want {
			t.Errorf("-fail %q: %q; want %q", c.fail, got, c.want)
		}
		if c.fail == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		var outer, inner *fsm.StartError
		if !errors.As(err, &outer) || outer.Part != c.part || !errors.As(outer.Err, &inner) {
			t.Errorf("-fail %s: %v; want the part that failed, and its own error", c.fail, err)
		}
	}
}
