"""One call, one answer: replay, audit, guard and the searches; options in, a result out, nothing printed."""
