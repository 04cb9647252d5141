package tlc

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Constants reads the constants of a configuration, each once and all of them. After the first error it does nothing.
type Constants struct {
	path   string
	values map[string]string
	err    error
}

var constant = regexp.MustCompile(`(?m)^[ \t]+(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$`)

// ReadConstants reads a configuration.
func ReadConstants(path string) *Constants {
	text, err := os.ReadFile(path)
	c := &Constants{path: path, values: map[string]string{}, err: err}
	for _, m := range constant.FindAllStringSubmatch(string(text), -1) {
		if _, twice := c.values[m[1]]; twice {
			c.fail("%s is given twice", m[1])
		}
		c.values[m[1]] = m[2]
	}
	return c
}

func (c *Constants) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: "+format, append([]any{c.path}, args...)...)
	}
}

func (c *Constants) take(name string) string {
	value, ok := c.values[name]
	if !ok {
		c.fail("%s is not given", name)
	}
	delete(c.values, name)
	return value
}

// Number returns a constant that is a number.
func (c *Constants) Number(name string) int {
	value := c.take(name)
	n, err := strconv.Atoi(value)
	if err != nil {
		c.fail("%s = %s: want a number", name, value)
	}
	return n
}

// Boolean returns a constant that is TRUE or FALSE.
func (c *Constants) Boolean(name string) bool {
	value := c.take(name)
	if value != "TRUE" && value != "FALSE" {
		c.fail("%s = %s: want TRUE or FALSE", name, value)
	}
	return value == "TRUE"
}

// Values returns the number of elements of a constant that is a set of model values, which must be
// called prefix1, prefix2, ...
func (c *Constants) Values(name, prefix string) int {
	elements := c.set(name)
	for i, element := range elements {
		if element != prefix+strconv.Itoa(i+1) {
			c.fail("%s: want {%s1, %s2, ...}", name, prefix, prefix)
		}
	}
	return len(elements)
}

// Name returns the index in names of a constant that is a string.
func (c *Constants) Name(name string, names []string) int { return c.number(name, c.take(name), names) }

// Names returns the indices in names of a constant that is a set of strings.
func (c *Constants) Names(name string, names []string) (numbers []int) {
	for _, element := range c.set(name) {
		numbers = append(numbers, c.number(name, element, names))
	}
	return numbers
}

func (c *Constants) number(name, value string, names []string) int {
	i := slices.IndexFunc(names, func(n string) bool { return strconv.Quote(n) == value })
	if i < 0 {
		c.fail("%s has %s: want one of %q", name, value, names)
	}
	return i
}

func (c *Constants) set(name string) []string {
	value := c.take(name)
	inner, begins := strings.CutPrefix(value, "{")
	inner, ends := strings.CutSuffix(inner, "}")
	if !begins || !ends {
		c.fail("%s = %s: want a set", name, value)
	}
	elements := strings.Split(inner, ",")
	for i := range elements {
		elements[i] = strings.TrimSpace(elements[i])
	}
	return elements
}

// Err returns the first error. A constant that was not read is one.
func (c *Constants) Err() error {
	if left := slices.Sorted(maps.Keys(c.values)); len(left) > 0 {
		c.fail("unknown constants: %s", strings.Join(left, ", "))
	}
	return c.err
}
