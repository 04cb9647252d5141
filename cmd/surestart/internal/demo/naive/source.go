package naive

import _ "embed"

// Source is the text of naive.go: what the documentation shows is what runs.
//
//go:embed naive.go
var Source string
