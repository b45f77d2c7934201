// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRegistry} from "./IRegistry.sol";

/// @title Day-to-day acts by the operator that the registry names
/// @notice The operator runs turns and can be replaced by a vote, in one place for all contracts of a DAO.
abstract contract Operated {
    /// @notice Names the operator.
    IRegistry public immutable registry;

    /// @notice Only the DAO's operator may do this.
    error NotOperator(address caller, address operator);

    modifier onlyOperator() {
        _onlyOperator();
        _;
    }

    constructor(IRegistry registry_) {
        registry = registry_;
    }

    function _onlyOperator() private view {
        address operator = registry.operator();
        require(msg.sender == operator, NotOperator(msg.sender, operator));
    }
}
