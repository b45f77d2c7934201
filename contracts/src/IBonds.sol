// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a rewards contract needs of the contract that holds bonds
interface IBonds {
    /// @notice Take `amount` of `from` as the bond of a root or of a dispute, out of its credit first.
    function takeRootBond(address from, uint256 amount) external;

    /// @notice Credit `amount` of the root bonds held to `to`.
    function creditRootBond(address to, uint256 amount) external;
}
