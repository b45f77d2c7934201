// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Permit2's transfers by signature
interface IPermit2 {
    /// @notice The most that may be moved, of which token.
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    /// @notice What the owner signed: good once, until the deadline.
    struct PermitTransferFrom {
        TokenPermissions permitted;
        uint256 nonce;
        uint256 deadline;
    }

    /// @notice What the spender asks for.
    struct SignatureTransferDetails {
        address to;
        uint256 requestedAmount;
    }

    /// @notice Move the owner's tokens; the owner signed the caller as spender, and a witness of the caller's own type.
    function permitWitnessTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external;
}
