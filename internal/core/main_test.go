package core_test

import (
	"flag"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	flag.Parse()
	preset("rapid.nofailfile", "true") // the seed tells as much
	preset("rapid.shrinktime", "5s")
	os.Exit(m.Run())
}

// preset sets a flag that was not given.
func preset(name, value string) {
	if f := flag.Lookup(name); f.Value.String() == f.DefValue {
		if err := f.Value.Set(value); err != nil {
			panic(err)
		}
	}
}
