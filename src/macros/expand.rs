//! At compile time: the expansion of the macros.
//!
//! Invariants:
//! * Items that a `macro_rules` defines are visible to the caller's expressions, so every one is named `__LOGWEIR_*`; a
//!   pattern that names a local can be taken for the caller's constant, so every local is named `__logweir_*`.
//! * Nothing is named by a bare path: a caller may have a type `Option`, a module `core` or a macro `concat` of its
//!   own.
//! * One step of the muncher per field; the sigil chooses a function of `value`.

/// The muncher. Its state is `{what [level] [logger] [target] [sampling]}`, with the fields also `[template] [names]
/// [values]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __logweir {
    // Prefixes.
    ({event $level:tt $logger:tt $target:tt $sample:tt} logger: $($rest:tt)*) => {
        ::core::compile_error!("`new_event!` emits nothing, so it takes no `logger:`")
    };
    ({event $level:tt $logger:tt $target:tt $sample:tt} every: $($rest:tt)*) => {
        ::core::compile_error!("`new_event!` emits nothing, so it takes no `every:`")
    };
    ({event $level:tt $logger:tt $target:tt $sample:tt} at_most: $($rest:tt)*) => {
        ::core::compile_error!("`new_event!` emits nothing, so it takes no `at_most:`")
    };
    ({$what:ident $level:tt [] $target:tt $sample:tt} logger: $logger:expr, $($rest:tt)*) => {
        $crate::__logweir!({$what $level [$logger] $target $sample} $($rest)*)
    };
    ({$what:ident $level:tt $logger:tt [] $sample:tt} target: $target:expr, $($rest:tt)*) => {
        $crate::__logweir!({$what $level $logger [$target] $sample} $($rest)*)
    };
    ({$what:ident $level:tt $logger:tt $target:tt []} every: $nth:expr, $($rest:tt)*) => {
        $crate::__logweir!({$what $level $logger $target [every $nth]} $($rest)*)
    };
    ({$what:ident $level:tt $logger:tt $target:tt []} at_most: $most:expr, per: $time:expr, $($rest:tt)*) => {
        $crate::__logweir!({$what $level $logger $target [at_most $most, $time]} $($rest)*)
    };
    ({$what:ident $level:tt $logger:tt $target:tt []} at_most: $most:expr, $next:ident $($rest:tt)*) => {
        ::core::compile_error!("behind `at_most: n,` stands `per: time,`: `at_most: 5, per: Duration::from_secs(1),`")
    };
    ({$what:ident $level:tt $logger:tt $target:tt []} at_most: $most:expr, $next:literal $($rest:tt)*) => {
        ::core::compile_error!("behind `at_most: n,` stands `per: time,`: `at_most: 5, per: Duration::from_secs(1),`")
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} logger: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!(@prefix $($($rest)*)?)
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} target: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!(@prefix $($($rest)*)?)
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} every: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!(@sampling $($($rest)*)?)
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} at_most: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!(@sampling $($($rest)*)?)
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} $prefix:ident : $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "unknown prefix `", ::core::stringify!($prefix), ":`: before the template stand `logger:`, `target:`, ",
            "`every:`, and `at_most:` with `per:`"
        ))
    };
    (@prefix) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    (@prefix $($rest:tt)+) => {
        ::core::compile_error!("a prefix (`logger:`, `target:`) stands twice")
    };
    (@sampling) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    (@sampling $($rest:tt)+) => {
        ::core::compile_error!("one of `every:` and `at_most:` stands before the template, once")
    };

    // There is no level or template where one must be.
    ({$($state:tt)*}) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    ({$($state:tt)*} $first:ident $(. $part:tt)* = $($rest:tt)*) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    ({$($state:tt)*} % $($rest:tt)*) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    ({$($state:tt)*} ? $($rest:tt)*) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    ({$($state:tt)*} @ $($rest:tt)*) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };

    // The level, if the macro's name does not give it, then the template.
    ({$what:ident [] $logger:tt $target:tt $sample:tt} $level:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!({$what [$level] $logger $target $sample} $($($rest)*)?)
    };
    ({$($state:tt)*} $template:expr $(, $($fields:tt)*)?) => {
        $crate::__logweir!(@field {$($state)* [$template]} [] [] $($($fields)*)? ,)
    };

    // Fields. The names first gather as they are spelled, `__logweir_name!` turns each into a string.
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $(,)?) => {
        $crate::__logweir!(@$($state)* [$($names)*] [$($values)*])
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $name:literal = % $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($name)] [$($values)* (display $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $name:literal = ? $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($name)] [$($values)* (debug $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $name:literal = @ $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($name)] [$($values)* (json $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $name:literal = $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($name)] [$($values)* (value $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)* = % $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (display $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)* = ? $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (debug $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)* = @ $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (json $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)* = $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (value $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] % $a:ident $(. $b:tt)*, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (display $a $(. $b)*)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] ? $a:ident $(. $b:tt)*, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (debug $a $(. $b)*)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] @ $a:ident $(. $b:tt)*, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (json $a $(. $b)*)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)*, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (value $a $(. $b)*)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "not a field: `", ::core::stringify!($($rest)*), "`; a field is `name`, `name = value`, `name = %value`, ",
            "`name = ?value` or `name = @value`, and a comma stands between two"
        ))
    };

    // The expansions.
    (@event [$level:expr] [] $target:tt [] $template:tt $names:tt [$(($how:ident $($value:tt)+))*]) => {{
        $crate::__logweir!(@site $target $template $names);
        let mut __logweir_event = $crate::Event::__new(&__LOGWEIR_SITE, $level);
        let __logweir_to = &mut __logweir_event;
        $($crate::__private::$how(__logweir_to, &$($value)+);)*
        __logweir_event
    }};
    (@emit $level:tt [] $target:tt $sample:tt $template:tt $names:tt $values:tt) => {{
        $crate::__logweir!(@site $target $template $names);
        if let ::core::option::Option::Some(__logweir_logger) = $crate::__private::global() {
            $crate::__logweir!(@send __logweir_logger $level $sample $values);
        }
    }};
    (@emit $level:tt [$logger:expr] $target:tt $sample:tt $template:tt $names:tt $values:tt) => {{
        $crate::__logweir!(@site $target $template $names);
        // A `match` keeps the temporaries of the expression; the coercion reports "expected `&Logger`" for another
        // type.
        match &$logger {
            __logweir_logger => {
                let __logweir_logger: &$crate::Logger = __logweir_logger;
                $crate::__logweir!(@send __logweir_logger $level $sample $values);
            }
        };
    }};
    (@send $logger:ident [$level:expr] [] [$(($how:ident $($value:tt)+))*]) => {
        let __logweir_level: $crate::Level = $level;
        if $logger.__enabled(&__LOGWEIR_SITE, __logweir_level) {
            let mut __logweir_event = $crate::Event::__new(&__LOGWEIR_SITE, __logweir_level);
            let __logweir_to = &mut __logweir_event;
            $($crate::__private::$how(__logweir_to, &$($value)+);)*
            $logger.__emit(__logweir_event);
        }
    };
    (@send $logger:ident [$level:expr] [$rule:ident $($rate:expr),+] [$(($how:ident $($value:tt)+))*]) => {
        static __LOGWEIR_SAMPLER: $crate::__private::Sampler = $crate::__private::Sampler::$rule($($rate),+);
        let __logweir_level: $crate::Level = $level;
        if $logger.__enabled(&__LOGWEIR_SITE, __logweir_level) {
            if let ::core::option::Option::Some(__logweir_skipped) = $logger.__sampled(&__LOGWEIR_SAMPLER) {
                let mut __logweir_event = $crate::Event::__new(&__LOGWEIR_SITE, __logweir_level);
                let __logweir_to = &mut __logweir_event;
                $($crate::__private::$how(__logweir_to, &$($value)+);)*
                __logweir_event.__sampled_out(__logweir_skipped);
                $logger.__emit(__logweir_event);
            }
        }
    };
    (@fields $names:tt [$(($how:ident $($value:tt)+))*]) => {{
        $crate::__logweir!(@site [] [""] $names);
        let mut __logweir_event = $crate::Event::__new(&__LOGWEIR_SITE, $crate::Level::Info);
        let __logweir_to = &mut __logweir_event;
        $($crate::__private::$how(__logweir_to, &$($value)+);)*
        $crate::event::FieldSet::__of(__logweir_event)
    }};
    (@site [] $template:tt $names:tt) => {
        $crate::__logweir!(@site [::core::module_path!()] $template $names);
    };
    (@site [$target:expr] [$template:expr] [$($name:tt)*]) => {
        const __LOGWEIR_TEMPLATE: &::core::primitive::str = $template;
        const __LOGWEIR_NAMES: &[&::core::primitive::str] = &[$($crate::__logweir_name!($name)),*];
        // A static, not a constant: the compiler reports a failed evaluation only once.
        static __LOGWEIR_PIECES: [$crate::__private::Piece; $crate::__private::count(__LOGWEIR_TEMPLATE)] =
            $crate::__private::parse(__LOGWEIR_TEMPLATE, __LOGWEIR_NAMES);
        static __LOGWEIR_SITE: $crate::__private::Callsite = $crate::__private::Callsite::new(
            $target,
            ::core::module_path!(),
            ::core::file!(),
            ::core::line!(),
            $crate::__private::Template::new(__LOGWEIR_TEMPLATE, &__LOGWEIR_PIECES),
            __LOGWEIR_NAMES,
        );
    };
}

/// A field's name as a string.
#[doc(hidden)]
#[macro_export]
macro_rules! __logweir_name {
    (($name:literal)) => { $name };
    (($name:ident)) => { $crate::__private::field_name(::core::stringify!($name)) };
    (($name:ident $(. $part:tt)+)) => {{
        const __LOGWEIR_DOTTED: &::core::primitive::str =
            ::core::concat!(::core::stringify!($name) $(, ".", ::core::stringify!($part))+);
        const __LOGWEIR_BYTES: &[::core::primitive::u8] =
            &$crate::__private::dotted::<{ $crate::__private::dotted_len(__LOGWEIR_DOTTED) }>(__LOGWEIR_DOTTED);
        $crate::__private::text(__LOGWEIR_BYTES)
    }};
}
